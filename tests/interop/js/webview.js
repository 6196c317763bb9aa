// What the Azure Mobile Apps client expects around it: a web view with a plugin for SQLite and with XMLHttpRequest.
// To be loaded before the client.
'use strict';
const http = require('node:http');
const sqlite = require('sqlite3');

const agent = new http.Agent({ keepAlive: true });

// The plugin takes one piece of work at a time: a statement, or a whole transaction.
class Database {
  constructor(connection) {
    this.connection = connection;
    this.last = Promise.resolve();
  }

  queue(work, succeed, fail) {
    this.last = this.last.then(work).then((value) => succeed && succeed(value), (error) => fail && fail(error));
  }

  statement(sql, parameters) {
    return new Promise((resolve, reject) => {
      const result = (rows, rowsAffected) => ({ rowsAffected, rows: { length: rows.length, item: (at) => rows[at] } });
      if (/^\s*(select|pragma)/i.test(sql)) {
        this.connection.all(sql, parameters || [], (error, rows) => (error ? reject(error) : resolve(result(rows, 0))));
      } else {
        this.connection.run(sql, parameters || [], function done(error) {
          if (error) reject(error);
          else resolve(result([], this.changes));
        });
      }
    });
  }

  executeSql(sql, parameters, succeed, fail) {
    this.queue(() => this.statement(sql, parameters), succeed, fail);
  }

  transaction(body, fail, succeed) {
    this.queue(async () => {
      const statements = [];
      const transaction = { executeSql: (...statement) => statements.push(statement) };
      await this.statement('BEGIN');
      try {
        body(transaction);
        while (statements.length > 0) {
          const [sql, parameters, good, bad] = statements.shift();
          let result;
          try {
            result = await this.statement(sql, parameters);
          } catch (error) {
            // The handler keeps the transaction going by saying false.
            if (!bad || bad(transaction, error) !== false) throw error;
            continue;
          }
          if (good) good(transaction, result);
        }
        await this.statement('COMMIT');
      } catch (error) {
        await this.statement('ROLLBACK');
        throw error;
      }
    }, succeed, fail);
  }

  close(succeed, fail) {
    this.queue(() => new Promise((resolve, reject) => {
      this.connection.close((error) => (error ? reject(error) : resolve()));
    }), succeed, fail);
  }
}

class Request {
  constructor() {
    // The client looks for `withCredentials` to see that requests may cross origins.
    Object.assign(this, { readyState: 0, status: 0, statusText: '', responseText: '', withCredentials: false, headers: {} });
  }

  open(method, url) {
    Object.assign(this, { method, url });
  }

  setRequestHeader(name, value) {
    this.headers[name] = value;
  }

  getResponseHeader(name) {
    return (this.response && this.response.headers[name.toLowerCase()]) || null;
  }

  send(body) {
    const end = () => {
      this.readyState = 4;
      if (this.onreadystatechange) this.onreadystatechange();
    };
    const headers = body == null ? this.headers : { ...this.headers, 'Content-Length': Buffer.byteLength(body) };
    const request = http.request(this.url, { method: this.method, headers, agent }, async (response) => {
      let text = '';
      try {
        for await (const part of response.setEncoding('utf8')) text += part;
      } catch {
        return end(); // status 0: it did not come to its end
      }
      Object.assign(this, { response, responseText: text, status: response.statusCode, statusText: response.statusMessage });
      return end();
    });
    request.on('error', end);
    request.end(body);
  }
}

global.window = global;
global.cordova = { version: '0' };
global.XMLHttpRequest = Request;
global.sqlitePlugin = {
  openDatabase({ name }, succeed, fail) {
    const connection = new sqlite.Database(name, (error) => {
      if (error) fail && fail(error);
      else succeed && succeed(database);
    });
    const database = new Database(connection);
    return database;
  },
};

exports.close = () => agent.destroy();
