//! Tests against the genuine Azure Mobile Apps client. They need node, and its packages: `npm install` in this folder
//! (some minutes, with a C++ compiler where no built `sqlite3` can be had). Without them each test says that it is skipped.
