import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { program } from '../../scripts/services/servers.mjs'
import { completionOf, SHELLS } from '../../ts/cli/completion'
import { Given } from '../../ts/cli/given'
import { parse } from '../../ts/cli/program'
import { optionsOf } from '../../ts/cli/spec'
import { COMMANDS } from '../../ts/cli/table'
import { root } from '../support/programs'
import { temporaryDirectory } from '../support/targets'
import { cli, done, sagastore } from './command-line'

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** The words of a line of a shell, up to a pipe or a redirection. */
function wordsOf(line: string): string[] {
  const own = line.split(/ (?:\||>|<|\|\|)(?: |$)/)[0] as string
  return [...own.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, plain]) => single ?? double ?? (plain as string))
}

describe('each command', () => {
  it.each(COMMANDS.map((command) => [command.name, command] as const))(
    '%s: its help has its options and an example that can be typed',
    async (name, command) => {
      const printed = await done([...name.split(' '), '--help'])
      expect(printed).toContain('Usage: sagastore ')
      for (const option of optionsOf(command)) expect(printed).toContain(`--${option.name}`)
      for (const { line } of command.examples) {
        expect(printed).toContain(`sagastore ${line}`)
        const parsed = parse(wordsOf(line), version)
        expect(parsed.command.name).toBe(name)
        expect(() => Given.of(parsed.command, parsed.options, parsed.positionals)).not.toThrow()
      }
    },
  )

  it('has a name and options of its own once', () => {
    const names = COMMANDS.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    for (const command of COMMANDS) {
      const options = optionsOf(command).map(({ name }) => name)
      expect(new Set(options).size, command.name).toBe(options.length)
    }
  })

  it('has a schema of what it prints as JSON, and nothing else has', () => {
    const { definitions } = JSON.parse(readFileSync(join(root, 'docs', 'cli-schema.json'), 'utf8'))
    for (const { name, json } of COMMANDS) expect(Object.hasOwn(definitions, name), name).toBe(json !== undefined)
  })
})

describe('sagastore', () => {
  it('--help names all commands; no command shows it on stderr and is wrong use', async () => {
    const printed = await done(['--help'])
    for (const { name } of COMMANDS) expect(printed).toContain(` ${name.split(' ')[0]}`)
    const { code, stdout, stderr } = await sagastore([])
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain('Usage: sagastore')
    expect(await done(['--version'])).toBe(`${version}\n`)
    expect(await done(['help', 'doctor'])).toContain('--ignore')
    expect(await done(['outbox', '--help'])).toContain('requeue')
  })

  it('--help, --version, completion and man work without index.js and the addon', () => {
    const folder = temporaryDirectory()
    cpSync(cli, join(folder, 'cli.js'))
    for (const args of [['--help'], ['--version'], ['transfer', '--help'], ['completion', 'bash'], ['man']]) {
      if (args[0] === 'transfer' && !COMMANDS.some(({ name }) => name === 'transfer')) continue
      expect(execFileSync(process.execPath, ['cli.js', ...args], { cwd: folder, encoding: 'utf8' })).not.toBe('')
    }
  })

  it('says what is missing where the addon is not there', () => {
    const folder = temporaryDirectory()
    for (const file of ['cli.js', 'index.js', 'package.json']) cpSync(join(root, file), join(folder, file))
    const run = () => execFileSync(process.execPath, ['cli.js', 'health', 'memory://'], { cwd: folder, encoding: 'utf8', stdio: 'pipe' })
    expect(run).toThrow(/the native addon for \S+ cannot be loaded/)
    expect(run).not.toThrow(/ {4}at /)
  })
})

describe('documents made from the table', () => {
  it('are up to date: the man page, and the table in docs/cli.md', async () => {
    expect(readFileSync(join(root, 'docs', 'sagastore.1'), 'utf8')).toBe(await done(['man']))
    expect(readFileSync(join(root, 'docs', 'cli.md'), 'utf8')).toContain(await done(['man', '--table']))
  })

  it('have no line that troff takes for a request of its own', async () => {
    const known = /^\.(TH|SH|SS|PP|TP|B|RS|RE|nf|fi|\\")( |$)/
    const lines = (await done(['man'])).split('\n')
    expect(lines.filter((line) => /^[.']/.test(line) && !known.test(line))).toEqual([])
  })
})

/** Whether a shell is on this machine, or can be installed. CI must have it. */
async function has(shell: string): Promise<boolean> {
  try {
    await program(shell)
    return true
  } catch (error) {
    if (process.env.CI !== undefined) throw error
    console.warn(`skipped: ${(error as Error).message}`)
    return false
  }
}

const [zsh, fish] = [await has('zsh'), await has('fish')]

describe('completion', () => {
  it.each(SHELLS)('%s: has all commands and options', (shell) => {
    const script = completionOf(shell, COMMANDS)
    for (const command of COMMANDS) {
      for (const word of command.name.split(' ')) expect(script).toContain(word)
      for (const { name } of optionsOf(command)) expect(script).toContain(name)
    }
  })

  it('bash: completes commands, options, and values', () => {
    const folder = temporaryDirectory()
    const file = join(folder, 'completion.bash')
    writeFileSync(file, completionOf('bash', COMMANDS))
    const complete = (...words: string[]) => {
      const list = words.map((word) => `'${word}'`).join(' ')
      const script = `source ${file}; COMP_WORDS=(sagastore ${list}); COMP_CWORD=${words.length}; _sagastore; printf '%s\\n' "\${COMPREPLY[@]}"`
      return execFileSync('bash', ['-c', script], { encoding: 'utf8', cwd: folder }).split('\n').filter(Boolean)
    }
    expect(complete('do')).toEqual(['doctor'])
    expect(complete('outbox', 're')).toEqual(['requeue'])
    expect(complete('executions', 'list', '--st')).toEqual(['--status'])
    expect(complete('executions', 'list', '--status', 'pa')).toEqual([])
    expect(complete('executions', 'list', '--status', 'pe')).toEqual(['pending'])
    expect(complete('completion', 'zs')).toEqual(['zsh'])
    expect(complete('put', '--expires-')).toEqual(['--expires-in', '--expires-at'])
    mkdirSync(join(folder, 'slips'))
    expect(complete('put', '--file', 'sl')).toEqual(['slips'])
  })

  it.skipIf(!zsh)('zsh: completes commands, options, and values', async () => {
    const folder = temporaryDirectory()
    writeFileSync(join(folder, 'completion.zsh'), completionOf('zsh', COMMANDS))
    writeFileSync(
      join(folder, '.zshrc'),
      `autoload -Uz compinit; compinit -u; sagastore() { :; }; source '${folder}/completion.zsh'; PS1='% '`,
    )
    // zsh completes on a terminal alone: one of its own.
    const complete = (line: string) => {
      const script = `zmodload zsh/zpty; export ZDOTDIR='${folder}' TERM=dumb; zpty z zsh -i; zpty -w z ''; sleep 1
        zpty -w -n z '${line}'$'\\t\\t'; sleep 1; while zpty -r -t z part; do print -rn -- $part; done; zpty -d z`
      return execFileSync('zsh', ['-f', '-c', script], { encoding: 'utf8', cwd: folder })
    }
    expect(complete('sagastore doc')).toContain('sagastore doctor')
    expect(complete('sagastore outbox re')).toContain('requeue')
    expect(complete('sagastore put --expires-')).toMatch(/--expires-at.*--expires-in/s)
    expect(complete('sagastore transfer --on-conflict ov')).toContain('overwrite')
  })

  it.skipIf(!fish)('fish: completes commands, options, and values', () => {
    const file = join(temporaryDirectory(), 'completion.fish')
    writeFileSync(file, completionOf('fish', COMMANDS))
    const complete = (line: string) => {
      const told = execFileSync('fish', ['-c', `source '${file}'; complete -C '${line}'`], { encoding: 'utf8' })
      return told
        .split('\n')
        .filter(Boolean)
        .map((one) => one.split('\t')[0])
    }
    expect(complete('sagastore doc')).toEqual(['doctor'])
    expect(complete('sagastore outbox re')).toEqual(['requeue'])
    expect(complete('sagastore executions list --st')).toEqual(['--status'])
    expect(complete('sagastore executions list --status=pe')).toEqual(['--status=pending'])
    expect(complete('sagastore put --expires-').sort()).toEqual(['--expires-at', '--expires-in'])
  })
})
