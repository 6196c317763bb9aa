// PouchDB over LevelDB, and its own server over LevelDB. TUNED=1: a thousand documents a batch instead of a hundred.
'use strict';
const path = require('node:path');
const PouchDB = require('pouchdb');
const { listen, run } = require('./common');

const options = process.env.TUNED === '1' ? { batch_size: 1000, batches_limit: 10 } : {};

run({
  serve(folder) {
    const app = require('express')();
    const Databases = PouchDB.defaults({ prefix: folder + path.sep });
    app.use('/', require('express-pouchdb')(Databases, {
      inMemoryConfig: true, mode: 'minimumForPouchDB', logPath: path.join(folder, 'log.txt'),
    }));
    listen(app);
  },
  async open(url, folder) {
    const db = new PouchDB(path.join(folder, 'device'));
    const there = `${url}/items`;
    const all = async () => (await db.info()).doc_count;
    return {
      async import(batches) {
        for (const rows of batches) {
          const answers = await db.bulkDocs(rows.map(({ id, ...row }) => ({ _id: id, ...row })));
          if (answers.some((answer) => answer.error)) throw new Error('a document was refused');
        }
        return all();
      },
      async edit(batches) {
        let count = 0;
        for (const rows of batches) {
          const old = await db.allDocs({ keys: rows.map((row) => row.id) });
          await db.bulkDocs(rows.map(({ id, ...row }, at) => ({ _id: id, _rev: old.rows[at].value.rev, ...row })));
          count += rows.length;
        }
        return count;
      },
      push: async () => (await db.replicate.to(there, options)).docs_written,
      async pull() {
        await db.replicate.from(there, options);
        return all();
      },
    };
  },
});
