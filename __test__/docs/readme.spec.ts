import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openStore } from '../../index.js'
import { root } from '../support/programs'
import { temporaryDirectory } from '../support/targets'

const readme = readFileSync(join(root, 'README.md'), 'utf8')

function blocks(language: string): string[] {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map((match) => match[1] as string)
}

/** A directory in which `import 'sagastore'` is this package. */
function project(): string {
  const directory = temporaryDirectory()
  mkdirSync(join(directory, 'node_modules'))
  symlinkSync(root, join(directory, 'node_modules', 'sagastore'))
  return directory
}

describe('the README', () => {
  it('has code that runs as it stands there', () => {
    const directory = project()
    const [first] = blocks('js')
    writeFileSync(join(directory, 'first.mjs'), first as string)
    const output = execFileSync(process.execPath, ['first.mjs'], { cwd: directory, encoding: 'utf8' })
    expect(output).toMatch(/^\d+ bytes, the same: true\ntrue NOT_FOUND\n$/)
  })

  it('has code about saga state that runs as it stands there', () => {
    const directory = project()
    writeFileSync(join(directory, 'states.mjs'), blocks('js')[1] as string)
    const output = execFileSync(process.execPath, ['states.mjs'], { cwd: directory, encoding: 'utf8' })
    expect(output).toBe('true 1 2\nshipped 3 1\n')
  })

  it('has constructor calls that are accepted', () => {
    const directory = project()
    const program = (blocks('ts')[0] as string).replace('/etc/ssl/my-ca.pem', join(directory, 'second.mjs'))
    writeFileSync(join(directory, 'second.mjs'), program)
    execFileSync(process.execPath, ['second.mjs'], { cwd: directory })
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

describe('the quickstart', () => {
  it('tells its story to the end', () => {
    const output = execFileSync(process.execPath, [join(root, 'examples', 'quickstart', 'index.mjs')], { encoding: 'utf8' })
    expect(output).toContain('byte for byte')
    expect(output).toContain('next step: refund-card')
    expect(output).toContain('get: NOT_FOUND')
    expect(output).toContain('cleanup removed 200')
    expect(output).toContain('Done.')
  })
})
