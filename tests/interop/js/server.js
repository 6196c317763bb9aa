// The genuine server on a free loopback port, with the table `todoitem`: node server.js FILE
//
// Prints the port when it listens, and ends with its standard input. PAGE_SIZE is its page where a query names none.
'use strict';
process.noDeprecation = true; // The server makes buffers in an old way.
const express = require('express');

const mobile = require('azure-mobile-apps')({
  data: { provider: 'sqlite', filename: process.argv[2], dynamicSchema: true },
  logging: { level: 'error' },
  pageSize: Number(process.env.PAGE_SIZE) || 50,
});
const table = mobile.table();
table.softDelete = true;
table.columns = { text: 'string', complete: 'boolean', rank: 'number' };
mobile.tables.add('todoitem', table);

mobile.tables.initialize().then(() => {
  const server = express().use(mobile).listen(0, '127.0.0.1', () => console.log(server.address().port));
  process.stdin.resume().on('end', () => process.exit(0));
}).catch((error) => {
  console.error(error);
  process.exit(1);
});
