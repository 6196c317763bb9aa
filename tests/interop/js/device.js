// A device with the genuine client and a store of its own: node device.js URL FILE
//
// Takes commands on standard input, one JSON array a line, such as ["insert",{"text":"x"}], and answers each with a
// line {"ok":value}, or {"error":message} with the "status" of the request that failed. It works on table `todoitem`.
//
//   insert ROW, update ROW, delete ID, get ID, read            the rows of the device
//   pending                                                    what is to be pushed
//   push POLICY     "report" lists conflicts; "server" and "client" take that side, and drop what the server has not
//   pull NAME       all rows, and later only what changed; without a name always all
//   purge                                                      forgets the rows of the device
//   there.get ID, there.query TEXT                             straight to the server
'use strict';
const webview = require('./webview');
const sdk = require('azure-mobile-apps-client');

const TABLE = 'todoitem';
const COLUMNS = {
  id: 'string', text: 'string', complete: 'boolean',
  version: 'string', createdAt: 'date', updatedAt: 'date', deleted: 'boolean',
};

// The client has promises of its own kind.
const settled = (promise) => new Promise((resolve, reject) => promise.then(resolve, reject));

// The client's store refuses the dates that the client puts into conflicts as text.
function withDates(row) {
  const copy = { ...row };
  for (const name of ['createdAt', 'updatedAt']) if (typeof copy[name] === 'string') copy[name] = new Date(copy[name]);
  return copy;
}

const told = (error) => ({
  action: error.getAction(), status: (error.getError().request || {}).status,
  mine: error.getClientRecord() || null, theirs: error.getServerRecord() || null,
});

// What to do about an operation that the server has not taken.
function handler(policy, seen) {
  if (policy === 'report') return undefined;
  return {
    onConflict(error) {
      seen.push(told(error));
      const theirs = error.getServerRecord(), deletes = error.getAction() === 'delete';
      if (!theirs) return deletes ? error.cancelAndDiscard() : error.changeAction('update');
      if (policy === 'server') return deletes ? error.cancelAndDiscard() : error.cancelAndUpdate(withDates(theirs));
      if (deletes) return error.changeAction('delete', theirs);
      return error.update({ ...withDates(error.getClientRecord()), version: theirs.version });
    },
    onError(error) {
      if (error.getError().request.status !== 404) return undefined;
      seen.push(told(error));
      return error.cancelAndDiscard();
    },
  };
}

async function open(url, file) {
  const client = new sdk.MobileServiceClient(url);
  const store = new sdk.MobileServiceSqliteStore(file);
  await settled(store.defineTable({ name: TABLE, columnDefinitions: COLUMNS }));
  const context = client.getSyncContext();
  await settled(context.initialize(store));
  const here = client.getSyncTable(TABLE), there = client.getTable(TABLE);
  return {
    insert: (row) => here.insert(row),
    update: (row) => here.update(row),
    delete: (id) => here.del({ id }),
    get: (id) => here.lookup(id, true),
    read: () => here.read(),
    pending: () => store.read(new sdk.Query('__operations').orderBy('id')),
    push: async (policy) => {
      const handled = [];
      context.pushHandler = handler(policy, handled);
      return { conflicts: (await settled(context.push())).map(told), handled };
    },
    pull: (name) => here.pull(new sdk.Query(TABLE), name),
    purge: () => here.purge(new sdk.Query(TABLE), true),
    'there.get': (id) => there.lookup(id),
    'there.query': async (text) => {
      const rows = await settled(there.read(`?${text}`));
      return rows.totalCount === undefined ? rows : { rows, count: rows.totalCount };
    },
    close: () => store.close(),
  };
}

async function main([url, file]) {
  const device = await open(url, file);
  for await (const line of require('node:readline').createInterface({ input: process.stdin })) {
    let answer;
    try {
      const [name, ...parameters] = JSON.parse(line);
      const value = await settled(Promise.resolve(device[name](...parameters)));
      answer = { ok: value === undefined ? null : value };
    } catch (error) {
      const cause = error.request ? error : (error.cause && error.cause()) || error;
      answer = { error: String(error.message || error), status: cause.request && cause.request.status };
    }
    console.log(JSON.stringify(answer));
  }
  await settled(device.close());
  webview.close();
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
