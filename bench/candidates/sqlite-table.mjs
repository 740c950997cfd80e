/** The claim check of a person in SQLite. Without the index, removing what has expired would read the whole table. */
export const TABLE = `create table if not exists claims (id text primary key, data blob not null, expires_at integer);
  create index if not exists claims_expires_at on claims (expires_at)`
