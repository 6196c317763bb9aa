// The genuine client and node server of Azure Mobile Apps, as tests/interop installs them, over SQLite.
//
// FAST_TIMERS=1: the client's own promises sleep a millisecond at every step, which is most of its time; with this they do not.
'use strict';
const path = require('node:path');
const wait = global.setTimeout;
if (process.env.FAST_TIMERS === '1') {
  global.setTimeout = (work, time, ...rest) => (time === undefined || time <= 1 ? setImmediate(work, ...rest) : wait(work, time, ...rest));
}
const { run } = require('./common');

const INTEROP = path.join(__dirname, '..', '..', 'tests', 'interop');
const TABLE = 'todoitem';
const COLUMNS = {
  id: 'string', name: 'string', category: 'string', quantity: 'integer', price: 'real', done: 'boolean', due: 'string',
  version: 'string', createdAt: 'date', updatedAt: 'date', deleted: 'boolean',
};

// The client has promises of its own kind.
const settled = (promise) => new Promise((resolve, reject) => promise.then(resolve, reject));

run({
  serve(folder) {
    process.argv[2] = path.join(folder, 'server.db');
    require(path.join(INTEROP, 'js', 'server.js'));
  },
  async open(url, folder) {
    require(path.join(INTEROP, 'js', 'webview.js'));
    const sdk = require(require.resolve('azure-mobile-apps-client', { paths: [INTEROP] }));
    const client = new sdk.MobileServiceClient(url);
    const store = new sdk.MobileServiceSqliteStore(path.join(folder, 'device.db'));
    await settled(store.defineTable({ name: TABLE, columnDefinitions: COLUMNS }));
    const context = client.getSyncContext();
    await settled(context.initialize(store));
    const table = client.getSyncTable(TABLE);
    const each = async (batches, change) => {
      // It knows no batches.
      for (const row of batches.flat()) await settled(change(row));
      return batches.flat().length;
    };
    return {
      import: (batches) => each(batches, (row) => table.insert(row)),
      edit: (batches) => each(batches, (row) => table.update(row)),
      async push() {
        const conflicts = await settled(context.push());
        if (conflicts.length) throw new Error(`${conflicts.length} conflicts`);
        return 0;
      },
      async pull() {
        await settled(table.pull(new sdk.Query(TABLE), 'all'));
        return (await settled(table.read())).length;
      },
    };
  },
});
