// What the type checker asks of a client, as in `shapes.ts`.

/** `mongodb`: a MongoClient, whose default database is meant, or a Db. */
export type MongoClientLike = MongoClientShape | MongoDbShape

interface MongoClientShape {
  db(name?: string): unknown
  startSession(): unknown
  close(): unknown
}

interface MongoDbShape {
  readonly databaseName: string
  command(command: never, options?: never): unknown
  collection(name: string): unknown
}
