// A store as a module of NestJS: initialized with the application, closed with it, injected where it is needed.
//   npm start [-- URL]     memory by default, or sqlite:, postgres:, redis:, mongodb:, dynamodb:
import 'reflect-metadata'
import { Inject, Injectable, Logger, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { SagaStore } from 'sagastore'
import { SagaStoreModule } from './sagastore.module.js'

@Injectable()
class Orders {
  // With the TypeScript compiler and `emitDecoratorMetadata`, `@Inject` may be left out. esbuild and tsx need it.
  constructor(@Inject(SagaStore) private readonly store: SagaStore) {}

  async place(id: string, lines: string[]): Promise<string> {
    const claimId = `slip-${id}-${Date.now()}`
    await this.store.put(claimId, Buffer.from(JSON.stringify(lines)), new Date(Date.now() + 3_600_000))
    return claimId
  }

  async lines(claimId: string): Promise<string[]> {
    return JSON.parse((await this.store.get(claimId)).toString())
  }

  async forget(claimId: string): Promise<void> {
    await this.store.delete(claimId)
  }
}

// debug, warn and error are those of Nest; `info` is called `log` there.
const nest = new Logger('sagastore')
const logger = {
  debug: (message: string) => nest.debug(message),
  info: (message: string) => nest.log(message),
  warn: (message: string) => nest.warn(message),
  error: (message: string) => nest.error(message),
}

@Module({ imports: [SagaStoreModule.forRoot({ url: process.argv[2] ?? 'memory://', logger })], providers: [Orders] })
class App {}

const app = await NestFactory.createApplicationContext(App, { logger: ['warn', 'error'] })
app.enableShutdownHooks() // SIGTERM closes the application, and the store with it
const orders = app.get(Orders)
const claimId = await orders.place('4711', ['a pen', 'a book'])
console.log(`order 4711: ${(await orders.lines(claimId)).join(', ')}`)
await orders.forget(claimId)
const store = app.get(SagaStore)
await app.close()
console.log(`after the application has closed: ${(await store.health()).message}`)
