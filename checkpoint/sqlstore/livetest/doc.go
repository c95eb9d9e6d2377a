// Package livetest tests sqlstore against databases: SQLite, which needs no server, and with .ci/databases PostgreSQL and
// MariaDB. It is a module of its own, so that their drivers reach nobody who uses the library.
package livetest
