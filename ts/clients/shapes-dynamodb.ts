// What the type checker asks of a client, as in `shapes.ts`.

/** `@aws-sdk/client-dynamodb` (DynamoDBClient, DynamoDB) or `@aws-sdk/lib-dynamodb` (DynamoDBDocumentClient, DynamoDBDocument). */
export interface DynamoDBClientLike {
  readonly config: { readonly serviceId: string }
  readonly middlewareStack: object
  send(command: never, options?: never): unknown
  destroy(): void
}

/**
 * A DynamoDB transaction that the application collects and sends itself (`TransactWriteItemsCommand`, or the
 * document client's `TransactWriteCommand`): the array of its `TransactItems`, or an object that has it, such as
 * the command's input. Puts and deletes are added to it, and nothing else is changed.
 */
export type DynamoDBTransactItems = object[] | { TransactItems: object[]; document?: boolean }
