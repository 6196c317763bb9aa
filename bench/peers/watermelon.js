// WatermelonDB over better-sqlite3, and a server of its sync protocol over better-sqlite3 whose commits are on the disk before it answers.
'use strict';
const http = require('node:http');
const path = require('node:path');
const { listen, run } = require('./common');

const COLUMNS = {
  name: 'string', category: 'string', quantity: 'number', price: 'number', done: 'boolean', due: 'string',
};
const NAMES = Object.keys(COLUMNS);

// SQLite has no booleans.
const plain = (value) => (typeof value === 'boolean' ? Number(value) : value);

function serve(folder) {
  const db = require('better-sqlite3')(path.join(folder, 'server.db'));
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.exec(`CREATE TABLE items(id TEXT PRIMARY KEY NOT NULL, ${NAMES.join(', ')}, changed INTEGER NOT NULL, deleted INTEGER NOT NULL);
    CREATE INDEX by_time ON items(changed)`);
  const put = db.prepare(`INSERT INTO items VALUES(?, ${NAMES.map(() => '?').join(', ')}, ?, 0) ON CONFLICT(id) DO UPDATE SET
    ${NAMES.map((name) => `${name} = excluded.${name}`).join(', ')}, changed = excluded.changed`);
  const remove = db.prepare('UPDATE items SET deleted = 1, changed = ? WHERE id = ?');
  const since = db.prepare('SELECT * FROM items WHERE changed > ?');
  let last = 0;
  const tick = () => (last = Math.max(Date.now(), last + 1));
  const push = db.transaction(({ items }) => {
    const now = tick();
    for (const row of [...items.created, ...items.updated]) put.run(row.id, ...NAMES.map((name) => plain(row[name])), now);
    for (const id of items.deleted) remove.run(now, id);
  });
  const pull = (from) => {
    const timestamp = tick();
    const items = { created: [], updated: [], deleted: [] };
    for (const { changed, deleted, ...row } of since.all(from)) {
      row.done = Boolean(row.done);
      if (deleted) items.deleted.push(row.id);
      else (from === 0 ? items.created : items.updated).push(row);
    }
    return { changes: { items }, timestamp };
  };
  listen((request, response) => {
    const from = Number(new URL(request.url, 'http://here').searchParams.get('last_pulled_at')) || 0;
    if (request.method === 'GET') return response.end(JSON.stringify(pull(from)));
    const parts = [];
    return request.on('data', (part) => parts.push(part)).on('end', () => {
      push(JSON.parse(Buffer.concat(parts)));
      response.end('{}');
    });
  });
}

function ask(method, url, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part)).on('end', () => resolve(JSON.parse(Buffer.concat(parts))));
    });
    request.on('error', reject).end(body && JSON.stringify(body));
  });
}

async function open(url, folder) {
  const { Database, Model, appSchema, tableSchema } = require('@nozbe/watermelondb');
  const SQLiteAdapter = require('@nozbe/watermelondb/adapters/sqlite').default;
  const { synchronize } = require('@nozbe/watermelondb/sync');
  class Item extends Model {}
  Item.table = 'items';
  const columns = NAMES.map((name) => ({ name, type: COLUMNS[name] }));
  const schema = appSchema({ version: 1, tables: [tableSchema({ name: 'items', columns })] });
  const adapter = new SQLiteAdapter({ schema, dbName: path.join(folder, 'device.db') });
  const database = new Database({ adapter, modelClasses: [Item] });
  const items = database.get('items');
  const set = (record, row) => NAMES.forEach((name) => record._setRaw(name, row[name]));
  const sync = () => synchronize({
    database,
    pullChanges: ({ lastPulledAt }) => ask('GET', `${url}/sync?last_pulled_at=${lastPulledAt || 0}`),
    pushChanges: ({ changes, lastPulledAt }) => ask('POST', `${url}/sync?last_pulled_at=${lastPulledAt}`, changes),
  });
  const inBatches = async (batches, prepare) => {
    let count = 0;
    for (const rows of batches) {
      await database.write(async () => database.batch(await Promise.all(rows.map(prepare))));
      count += rows.length;
    }
    return count;
  };
  return {
    import: (batches) => inBatches(batches, (row) => items.prepareCreate((record) => {
      record._raw.id = row.id;
      set(record, row);
    })),
    edit: (batches) => inBatches(batches, async (row) => (await items.find(row.id)).prepareUpdate((record) => set(record, row))),
    async push() {
      await sync();
      return items.query().fetchCount();
    },
    async pull() {
      await sync();
      return items.query().fetchCount();
    },
  };
}

run({ serve, open });
