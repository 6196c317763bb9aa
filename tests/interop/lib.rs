//! Tests with what others have made: the genuine Azure Mobile Apps server and client, which need node and their packages (`setup.sh` in this folder:
//! some minutes, with a C++ compiler where no built `sqlite3` can be had), and nginx before our server. Where one of them is missing its tests say
//! that they are skipped.
