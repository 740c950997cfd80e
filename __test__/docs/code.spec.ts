import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, describe, expect, it } from 'vitest'
import { openStore } from '../../index.js'
import { Given } from '../../ts/cli/given'
import { parse } from '../../ts/cli/program'
import { root } from '../support/programs'
import { missing, randomName, sql, temporaryDirectory, temporarySchema } from '../support/targets'
import { blocksOf, pagesWithCode, sorted } from './pages'
import { isShown, Project } from './programs'
import { accessTo, endServers, hasMongoTransactions, lacks } from './servers'

const pages = pagesWithCode()
const marked = pages.map((page) => ({ path: page.path, ...sorted(page) }))
const project = new Project(temporaryDirectory())
const examples = marked.flatMap((page) => page.examples).map((example) => ({ ...example, file: project.add(example) }))

afterAll(endServers)

describe('code in the README and in docs/', () => {
  it('has a marker at each block, or is of a kind that needs none', () => {
    expect(marked.flatMap(({ wrong }) => wrong)).toEqual([])
    for (const { block, why } of marked.flatMap(({ unchecked }) => unchecked)) {
      console.warn(`NOT CHECKED: ${block.page}:${block.line}: ${why}`)
    }
    for (const { page, name, typesOnly } of examples) {
      if (typesOnly !== undefined) console.warn(`TYPES ONLY: ${page}, '${name}': ${typesOnly}`)
    }
    // As long as the documents have code at all, this has something to check.
    expect(examples.length).toBeGreaterThan(20)
  })

  it('has the types that it should, under strict', () => {
    expect(project.typeErrors()).toEqual([])
  })

  for (const { page, name, file, needs, typesOnly, output } of examples) {
    const skipped = typesOnly !== undefined || lacks(needs, `${page}, '${name}'`)
    it.skipIf(skipped)(`${page}: ${name}`, async (context) => {
      if (needs === 'mongodb transactions' && !(await hasMongoTransactions())) {
        console.warn(`SKIPPED: ${page}, '${name}': the server of MONGODB_URL has no transactions`)
        return context.skip()
      }
      const { end, ...access } = needs === undefined ? {} : await accessTo(needs)
      try {
        const printed = await project.run(file, access)
        if (output !== undefined && !isShown(printed, output)) expect(printed).toBe(output)
      } finally {
        await end?.()
      }
    })
  }
})

describe('statements of SQL in docs/', () => {
  for (const { block, dialects } of marked.flatMap((page) => page.sql)) {
    const statements = block.code.split(/;\n/).filter((statement) => statement.trim() !== '')

    if (dialects.includes('sqlite')) {
      it(`${block.page}:${block.line} on SQLite`, async () => {
        const file = join(temporaryDirectory(), 'sagas.db')
        await using store = openStore(`sqlite://${file}`)
        await store.initialize()
        const db = new Database(file)
        for (const statement of statements) {
          const prepared = db.prepare(statement)
          if (!prepared.reader) prepared.run()
          else if (statement.includes('saga_store')) expect(prepared.all()).toHaveLength(1)
          else prepared.all()
        }
        db.close()
        if (block.code.includes('insert into saga_store')) expect(await store.has('slip-4711-1')).toBe(true)
      })
    }

    if (dialects.includes('postgres')) {
      const skipped = missing({
        name: `${block.page}:${block.line}`,
        available: process.env.POSTGRES_URL !== undefined,
        variable: 'POSTGRES_URL',
      })
      it.skipIf(skipped)(`${block.page}:${block.line} on PostgreSQL`, async () => {
        const schema = temporarySchema()
        await using store = openStore({ url: process.env.POSTGRES_URL as string, schema })
        await store.initialize()
        const url = new URL(process.env.POSTGRES_URL as string)
        url.searchParams.set('options', `-csearch_path=${schema}`)
        for (const statement of statements) {
          const rows = await sql(statement, [], url.href)
          if (/^select.*saga_store/s.test(statement)) expect(rows).toHaveLength(1)
        }
        if (block.code.includes('insert into saga_store')) expect(await store.has('slip-4711-1')).toBe(true)
      })
    }
  }
})

describe('commands in the README and in docs/', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> }

  /** What is wrong with a command. */
  function problem(command: string): string | undefined {
    const [, script] = /^npm run ([\w:-]+)/.exec(command) ?? []
    if (script !== undefined) return script in scripts ? undefined : `there is no script '${script}'`
    const [, file] = /^node (\S+)/.exec(command) ?? []
    if (file !== undefined) return existsSync(join(root, file)) ? undefined : `there is no file '${file}'`
    const [, line] = /^(?:source <\()?(?:npx )?sagastore (.*?)\)?$/.exec(command) ?? []
    if (line !== undefined) return commandProblem(line)
    return /^npm (test|install sagastore)\b/.test(command) ? undefined : 'the command is not known'
  }

  /** What is wrong with a line of the command line. */
  function commandProblem(line: string): string | undefined {
    try {
      const words = (line.split(/ [|<>] /)[0] as string).split(' ')
      const { command, options, positionals } = parse(words, '')
      Given.of(command, options, positionals)
      return undefined
    } catch (error) {
      return (error as Error).message
    }
  }

  it('exist', () => {
    const lines = marked.flatMap(({ shell }) => shell.flatMap((block) => block.code.split('\n').map((line) => ({ block, line }))))
    const given = lines.filter(({ line }) => line !== '' && !line.startsWith('#'))
    expect(
      given.flatMap(({ block, line }) => (problem(line) === undefined ? [] : [`${block.page}:${block.line}: ${problem(line)}`])),
    ).toEqual([])
    // In the text, too: `npm run bench -- redis`.
    const inline = pages.flatMap(({ path, text }) => [...text.matchAll(/`(npm run [^`]+)`/g)].map(([, command]) => ({ path, command })))
    expect(inline.filter(({ command }) => problem(command as string) !== undefined)).toEqual([])
    const ours = pages.flatMap(({ path, text }) =>
      [...text.matchAll(/`(sagastore [a-z][^`<]*?)(?: <id>)?`/g)].map(([, command]) => ({ path, command })),
    )
    for (const { path, command } of ours) {
      // In the text an id may be left out.
      expect(problem(command as string) ?? 'the argument <', `${path}: ${command}`).toMatch(/^the argument <|^give ids/)
    }
    expect(given.length).toBeGreaterThan(0)
  })
})

describe('what checks the code', () => {
  const page = (text: string) => ({ path: 'page.md', text, blocks: blocksOf('page.md', text) })

  it('refuses a block without a marker, and one that does not say why it is not run', () => {
    const { wrong } = sorted(
      page('```js\n1\n```\n\n<!-- not run: because -->\n```text\nx\n```\n\n<!-- output: nobody -->\n```text\nx\n```\n'),
    )
    expect(wrong).toHaveLength(3)
    expect(sorted(page('<!-- example: a; needs nothing -->\n```js\n1\n```\n')).wrong).toHaveLength(1)
  })

  it('finds wrong types, a program that fails, and another output', async () => {
    const broken = new Project(temporaryDirectory())
    const text = [
      "<!-- example: types -->\n```ts\nimport { openStore } from 'sagastore'\n\nopenStore(1)\n```\n",
      '<!-- example: fails -->\n```js\nawait Promise.reject(new Error("no"))\n```\n',
      `<!-- example: prints -->\n\`\`\`js\nconsole.log('${randomName()}')\n\`\`\`\n`,
    ].join('\n')
    const [types, fails, prints] = sorted(page(text)).examples.map((example) => broken.add(example)) as [string, string, string]
    expect(broken.typeErrors()).toEqual([expect.stringMatching(/^page\.md:5: .*'number'/)])
    await expect(broken.run(types, {})).rejects.toThrow('INVALID_ARGUMENT')
    await expect(broken.run(fails, {})).rejects.toThrow('no')
    expect(isShown(await broken.run(prints, {}), 't_…\n')).toBe(true)
    expect(isShown(await broken.run(prints, {}), 'u_…\n')).toBe(false)
    expect(isShown('a\nb\n', 'a…\n')).toBe(false)
  })
})
