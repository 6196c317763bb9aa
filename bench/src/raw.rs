//! The same work by hand on rusqlite: the same columns and indexes, one prepared statement, no JSON.

use std::path::Path;

use rusqlite::{Connection, params};

use super::data::Item;

pub struct Raw {
    pub connection: Connection,
}

impl Raw {
    /// `synchronous` is FULL or NORMAL.
    pub fn open(path: &Path, synchronous: &str, indexes: &[&str]) -> Self {
        let connection = Connection::open(path).unwrap();
        connection.set_prepared_statement_cache_capacity(64);
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-16384;
                 CREATE TABLE items(id TEXT PRIMARY KEY NOT NULL, version TEXT, updated_at INTEGER, deleted INTEGER,
                   name, category, quantity, price, done, due, note, tag);
                 CREATE TABLE documents(id TEXT PRIMARY KEY NOT NULL, json TEXT);"
            ))
            .unwrap();
        for field in indexes {
            connection
                .execute_batch(&format!("CREATE INDEX ix_{field} ON items({field})"))
                .unwrap();
        }
        Self { connection }
    }

    pub fn upsert(&self, item: &Item) {
        self.connection
            .prepare_cached(
                "INSERT INTO items VALUES(?1,?2,?3,0,?4,?5,?6,?7,?8,?9,?10,?11) ON CONFLICT(id) DO UPDATE SET
                 version=excluded.version, updated_at=excluded.updated_at, deleted=excluded.deleted, name=excluded.name,
                 category=excluded.category, quantity=excluded.quantity, price=excluded.price, done=excluded.done,
                 due=excluded.due, note=excluded.note, tag=excluded.tag",
            )
            .unwrap()
            .execute(params![
                item.id, item.version, item.updated_at, item.name, item.category, item.quantity, item.price, item.done,
                item.due, item.note, item.tag
            ])
            .unwrap();
    }

    /// One transaction an item.
    pub fn insert_each(&self, items: &[Item]) {
        for item in items {
            self.begin();
            self.upsert(item);
            self.commit();
        }
    }

    /// A thousand items a transaction.
    pub fn upsert_all(&self, items: &[Item]) {
        for page in items.chunks(1000) {
            self.begin();
            for item in page {
                self.upsert(item);
            }
            self.commit();
        }
    }

    /// The same records as JSON texts, for the comparison of scans.
    pub fn store_documents(&self, items: &[Item]) {
        self.begin();
        for item in items {
            self.connection
                .prepare_cached("INSERT INTO documents VALUES(?1,?2)")
                .unwrap()
                .execute(params![item.id, item.server_json()])
                .unwrap();
        }
        self.commit();
    }

    pub fn get(&self, id: &str) -> usize {
        self.read("SELECT * FROM items WHERE id=?1", id)
    }

    pub fn by_category(&self, category: &str) -> usize {
        self.read(
            "SELECT * FROM items WHERE category=?1 ORDER BY id LIMIT 100",
            category,
        )
    }

    pub fn count_documents_by_tag(&self, tag: &str) -> i64 {
        let sql = "SELECT count(*) FROM documents WHERE json->>'$.tag'=?1";
        self.connection
            .prepare_cached(sql)
            .unwrap()
            .query_row([tag], |row| row.get(0))
            .unwrap()
    }

    /// Reads every column of every row.
    fn read(&self, sql: &str, parameter: &str) -> usize {
        let mut statement = self.connection.prepare_cached(sql).unwrap();
        let mut rows = statement.query([parameter]).unwrap();
        let mut bytes = 0;
        while let Some(row) = rows.next().unwrap() {
            for column in 0..12 {
                bytes += match row.get_ref(column).unwrap() {
                    rusqlite::types::ValueRef::Text(text) => {
                        String::from_utf8_lossy(text).into_owned().len()
                    }
                    _ => 8,
                };
            }
        }
        bytes
    }

    fn begin(&self) {
        self.connection
            .prepare_cached("BEGIN IMMEDIATE")
            .unwrap()
            .execute([])
            .unwrap();
    }

    fn commit(&self) {
        self.connection
            .prepare_cached("COMMIT")
            .unwrap()
            .execute([])
            .unwrap();
    }
}
