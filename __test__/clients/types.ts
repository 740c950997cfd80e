// Compiled, not run: the clients of the real libraries are what the options accept.
import type { DynamoDB, DynamoDBClient, TransactWriteItem } from '@aws-sdk/client-dynamodb'
import type { DynamoDBDocument, DynamoDBDocumentClient, TransactWriteCommandInput } from '@aws-sdk/lib-dynamodb'
import type { PrismaClient as RuntimeClient } from '@prisma/client/extension'
import type { getPrismaClient } from '@prisma/client/runtime/client'
import type BetterSqlite3 from 'better-sqlite3'
import type { BetterSQLite3Database } from 'drizzle-orm/better-sqlite3'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import type { Cluster, Redis } from 'ioredis'
import type { Knex } from 'knex'
import type { ControlledTransaction, Kysely, Transaction } from 'kysely'
import type { Db, MongoClient } from 'mongodb'
import type pg from 'pg'
import type postgres from 'postgres'
import type { createClient, createCluster } from 'redis'
import type * as shapes from '../../ts/clients/shapes'
import type { DynamoDBClientLike, DynamoDBTransactItems } from '../../ts/clients/shapes-dynamodb'
import type { MongoClientLike } from '../../ts/clients/shapes-mongodb'
import type { RedisClient } from '../../ts/clients/shapes-redis'

type Accepts<Shape, Client extends Shape> = [Shape, Client]
type Refuses<Shape, Other> = Other extends Shape ? never : true
type TransactionOf<Database extends { transaction: (work: never, ...rest: never[]) => unknown }> = Parameters<
  Database['transaction']
>[0] extends (tx: infer Tx, ...rest: never[]) => unknown
  ? Tx
  : never

interface Tables {
  orders: { id: string; note: string | null }
}
type Schema = { orders: never }
type PrismaClient = InstanceType<ReturnType<typeof getPrismaClient>>

export type Accepted = [
  Accepts<shapes.PgClient, pg.Pool | pg.Client | pg.PoolClient>,
  Accepts<shapes.PostgresJsClient, postgres.Sql | postgres.TransactionSql | postgres.ReservedSql>,
  Accepts<shapes.PostgresJsClient, postgres.Sql<{ big: bigint }>>,
  Accepts<shapes.PrismaClientLike, PrismaClient | RuntimeClient>,
  Accepts<shapes.PrismaClientLike, Omit<PrismaClient, '$connect' | '$disconnect' | '$on' | '$transaction' | '$extends'>>,
  Accepts<shapes.DrizzlePostgresDatabase, NodePgDatabase | NodePgDatabase<Schema> | PostgresJsDatabase>,
  Accepts<shapes.DrizzlePostgresDatabase, TransactionOf<NodePgDatabase> | TransactionOf<PostgresJsDatabase>>,
  Accepts<shapes.DrizzleSqliteDatabase, BetterSQLite3Database | TransactionOf<BetterSQLite3Database>>,
  Accepts<shapes.KyselyDatabase, Kysely<Tables> | Transaction<Tables> | ControlledTransaction<Tables>>,
  Accepts<shapes.KnexClient, Knex | Knex.Transaction>,
  Accepts<shapes.BetterSqlite3Database, BetterSqlite3.Database>,
  Accepts<
    shapes.PostgresClient,
    pg.Pool | postgres.Sql | postgres.TransactionSql | PrismaClient | NodePgDatabase | Kysely<Tables> | Knex.Transaction
  >,
  Accepts<shapes.SqliteClient, BetterSqlite3.Database | BetterSQLite3Database | PrismaClient | Kysely<Tables> | Knex>,
  Accepts<RedisClient, Redis | Cluster | ReturnType<typeof createClient> | ReturnType<typeof createCluster>>,
  Accepts<MongoClientLike, MongoClient | Db>,
  Accepts<DynamoDBClientLike, DynamoDBClient | DynamoDB | DynamoDBDocumentClient | DynamoDBDocument>,
  Accepts<DynamoDBTransactItems, TransactWriteItem[] | { TransactItems: TransactWriteItem[]; document?: boolean }>,
  Accepts<DynamoDBTransactItems, NonNullable<TransactWriteCommandInput['TransactItems']>>,
]

export const refused: [
  Refuses<shapes.PostgresClient, BetterSqlite3.Database>,
  Refuses<shapes.SqliteClient, pg.Pool>,
  Refuses<shapes.SqliteClient, postgres.Sql>,
  Refuses<shapes.SqliteClient, NodePgDatabase>,
  Refuses<shapes.PostgresClient, BetterSQLite3Database>,
  Refuses<shapes.PostgresClient, string>,
  Refuses<DynamoDBClientLike, pg.Pool>,
  Refuses<MongoClientLike, pg.Pool>,
  Refuses<RedisClient, MongoClient>,
] = [true, true, true, true, true, true, true, true, true]
