import { DeleteTableCommand, DynamoDBClient, waitUntilTableNotExists } from '@aws-sdk/client-dynamodb'
import { borrowing, requiredVariable } from './index.mjs'

/** DynamoDB Local takes any credentials, but the clients want to have some. */
const LOCAL_CREDENTIALS = { accessKeyId: 'sagastore', secretAccessKey: 'sagastore-bench' }

/** @type {import('./index.mjs').Backend} */
export const backend = {
  keepsData: true,
  candidates: [
    { name: 'aws-sdk', module: 'aws-sdk', package: '@aws-sdk/client-dynamodb', peer: 'aws-sdk', operations: ['put', 'get'] },
    { name: 'sagastore', module: 'sagastore', peer: 'aws-sdk', operations: ['put', 'get'] },
  ],
  clients: borrowing({ name: 'aws-sdk', package: '@aws-sdk/client-dynamodb' }),
  async enter() {
    // Otherwise the SDK warns in each trial's process that it will need a later Node.js.
    process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'
    const where = whereIs(requiredVariable('DYNAMODB_URL'))
    // A copy: the SDK adds to the credentials that it is given.
    const client = new DynamoDBClient(structuredClone(where))
    const tableOf = (/** @type {import('./index.mjs').Candidate} */ { name }) => `sagastore_bench_${name.replaceAll(' ', '_')}`
    const drop = async (/** @type {import('./index.mjs').Candidate} */ candidate) => {
      const table = { TableName: tableOf(candidate) }
      try {
        await client.send(new DeleteTableCommand(table))
      } catch (error) {
        if (error instanceof Error && error.name === 'ResourceNotFoundException') return
        throw error
      }
      await waitUntilTableNotExists({ client, maxWaitTime: 300 }, table)
    }
    return {
      place: (candidate) => ({ ...where, table: tableOf(candidate) }),
      settle: async () => {},
      clear: drop,
      describe: () => describe(client, where),
      isFeasible: ({ size, concurrency }, quick) => !quick || size * concurrency <= 16 * 2 ** 20,
      async close() {
        for (const candidate of [...backend.candidates, ...(backend.clients ?? [])]) await drop(candidate)
        client.destroy()
      },
    }
  },
}

/**
 * What both clients are told. `undefined` is left to AWS's default chain.
 *
 * @param {string} text such as dynamodb://local?endpoint=http://127.0.0.1:8000
 */
function whereIs(text) {
  const url = new URL(text)
  const endpoint = url.searchParams.get('endpoint') ?? undefined
  return {
    region: url.hostname || undefined,
    endpoint,
    credentials: endpoint?.startsWith('http:') ? LOCAL_CREDENTIALS : undefined,
  }
}

/**
 * No request tells a version. DynamoDB Local can be recognised by its Java server.
 *
 * @param {DynamoDBClient} client
 * @param {{ endpoint?: string }} where
 * @returns {Promise<Record<string, string>>}
 */
async function describe(client, { endpoint }) {
  if (endpoint === undefined) return { DynamoDB: `of AWS, ${await client.config.region()}` }
  const { headers } = await fetch(endpoint)
  const server = headers.get('server') ?? 'a server without a name'
  return server.startsWith('Jetty') ? { 'DynamoDB Local': `on ${server}` } : { DynamoDB: `of ${server} at ${endpoint}` }
}
