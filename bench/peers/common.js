// What the programs of all peers have in common: node PEER.js server FOLDER, or node PEER.js VERB URL FOLDER FILE.
//
// A server prints {"listening":PORT} and runs until it is killed. The verbs are those of a device whose store is in FOLDER:
//   import   puts the records of FILE, a JSON object a line, into the store, 500 at once, so that they will be pushed
//   edit     gives records that are there the values of FILE, in the same way
//   push     sends what is new to the server at URL
//   pull     brings what is new there
// Each prints {"seconds":..,"peak":..,"count":..}: from when the modules are loaded, the store not yet open; the most memory in MiB;
// how many records it was about, or the store has after a pull.
'use strict';
const fs = require('node:fs');
const http = require('node:http');

const BATCH = 500;

function* batches(rows) {
  for (let at = 0; at < rows.length; at += BATCH) yield rows.slice(at, at + BATCH);
}

function read(file) {
  return fs.readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
}

function peak() {
  const match = /VmHWM:\s+(\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'));
  return match ? Number(match[1]) / 1024 : 0;
}

function listen(handler) {
  const server = http.createServer(handler);
  server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ listening: server.address().port })));
}

// `peer` has serve(folder) and open(url, folder), which gives a device with the four verbs: import and edit take a list of batches.
async function main(peer) {
  const [verb, url, folder, file] = process.argv.slice(2);
  if (verb === 'server') return peer.serve(url);
  const work = file ? [...batches(read(file))] : [];
  const start = process.hrtime.bigint();
  const device = await peer.open(url, folder);
  const count = await device[verb](work);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  console.log(JSON.stringify({ seconds, peak: peak(), count }));
  process.exit(0);
}

exports.listen = listen;
exports.run = (peer) => main(peer).catch((error) => {
  console.error(error);
  process.exit(1);
});
