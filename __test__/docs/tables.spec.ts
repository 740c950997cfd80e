import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openStore } from '../../index.js'
import { root } from '../support/programs'

const read = (path: string) => readFileSync(join(root, path), 'utf8')
const readme = read('README.md')
const types = read('index.d.ts')

/** The first cells of the rows of a page's tables that are code: `| \`name\` | ...`. `until`: only those before this heading. */
function rowsOf(page: string, until = '\0'): string[] {
  return [...(read(page).split(until)[0] as string).matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name as string)
}

/** The rest of the row of a name. */
function rowOf(page: string, name: string): string {
  return (
    read(page)
      .split('\n')
      .find((line) => line.startsWith(`| \`${name}\` |`)) ?? ''
  )
}

/** The names of an interface's properties in index.d.ts, and what their comments say. */
function propertiesOf(name: string): Map<string, string> {
  const body = new RegExp(`interface ${name} .*?\\{\\n(.*?)^\\}`, 'ms').exec(types)?.[1] ?? ''
  const found = [...body.matchAll(/(?:^\t\/\*\*((?:(?!\*\/).)*)\*\/\n)?^\t(?:readonly )?(\w+)\??:/gms)]
  return new Map(found.map(([, comment, property]) => [property as string, comment ?? '']))
}

describe('the README', () => {
  it('has at most 200 lines', () => {
    expect(readme.trimEnd().split('\n').length).toBeLessThanOrEqual(200)
  })

  it('has the backend table that the stores’ capabilities make (UPDATE_README=1 writes it)', () => {
    const urls = {
      memory: 'memory://',
      sqlite: 'sqlite:x.db',
      postgres: 'postgres://h/d',
      redis: 'redis://h',
      mongodb: 'mongodb://h',
      dynamodb: 'dynamodb://r',
    }
    const yes = (flag: boolean) => (flag ? 'yes' : 'no')
    const generated = readme.split('\n').map((line) => {
      const [, name, schemes] = line.split(' | ').flatMap((cell, at) => (at === 0 ? cell.split(/^\| /) : [cell]))
      if (name === undefined || !(name in urls) || schemes === undefined) return line
      const { capabilities, backend } = openStore(urls[name as keyof typeof urls])
      expect(backend).toBe(name)
      const cells = [
        capabilities.expiry === 'server' ? 'by the server' : 'by `cleanup()`',
        `${capabilities.maxPayloadBytes} bytes`,
        yes(capabilities.durable),
        yes(capabilities.shared),
        capabilities.transactions,
      ]
      return `| ${[name, schemes, ...cells].join(' | ')} |`
    })
    expect(generated.filter((line) => /^\| (memory|sqlite|postgres|redis|mongodb|dynamodb) \|/.test(line))).toHaveLength(6)
    if (process.env.UPDATE_README === '1') writeFileSync(join(root, 'README.md'), generated.join('\n'))
    else expect(readme).toBe(generated.join('\n'))
  })
})

describe('docs/options.md', () => {
  const INTERFACES = [
    'StoreOptions',
    ...['Sqlite', 'Postgres', 'Redis', 'Mongo', 'DynamoDB'].flatMap((name) => [`${name}UrlOptions`, `${name}ClientOptions`]),
  ]
  const nested = new Map([
    ['retry', 'RetryOptions'],
    ['compression', 'CompressionOptions'],
    ['outbox', 'OutboxOptions'],
  ])

  it('has each option once, and no other', () => {
    const options = new Set(INTERFACES.flatMap((name) => [...propertiesOf(name).keys()]))
    expect(options.size).toBeGreaterThan(25)
    const expected = [...options].flatMap((option) => {
      const inner = nested.get(option)
      if (inner === undefined) return [option]
      const parts = [...propertiesOf(inner).keys()].map((name) => `${option}.${name}`)
      return option === 'compression' ? [option, ...parts] : parts
    })
    const rows = rowsOf('docs/options.md', '## Of one call')
    expect(rows.sort()).toEqual(expected.sort())
  })

  it('has the defaults that the types document', () => {
    let compared = 0
    for (const [prefix, name] of [
      ['', 'StoreOptions'],
      ['retry.', 'RetryOptions'],
      ['compression.', 'CompressionOptions'],
      ['outbox.', 'OutboxOptions'],
    ] as const) {
      for (const [option, comment] of propertiesOf(name)) {
        const documented = /[Dd]efault `?'?([\d,]+(?! MiB)|none)\b/.exec(comment)?.[1]?.replaceAll(',', '')
        if (documented === undefined) continue
        compared += 1
        expect(`${option}: ${rowOf('docs/options.md', prefix + option).split(' | ')[1]}`).toMatch(new RegExp(`: \`?'?${documented}\\b`))
      }
    }
    expect(compared).toBeGreaterThan(8)
  })
})

describe('docs/errors.md', () => {
  it('has each code once, with its class, and no other', () => {
    const union = /type SagaStoreErrorCode =(.*?);/s.exec(types)?.[1] ?? ''
    const codes = [...union.matchAll(/"([A-Z_]+)"/g)].map(([, code]) => code as string)
    expect(codes.length).toBeGreaterThan(10)
    expect(
      rowsOf('docs/errors.md')
        .filter((name) => /^[A-Z_]+$/.test(name))
        .sort(),
    ).toEqual(codes.sort())
    for (const [, code, name] of types.matchAll(/\/\*\* `([A-Z_]+)`[^\n]*\*\/\nexport declare class (\w+)/g)) {
      expect(rowOf('docs/errors.md', code as string)).toContain(`\`${name}\``)
    }
  })
})
