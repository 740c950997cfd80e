export type Runtime = 'Node.js 22' | 'Node.js 24' | 'Node.js 26' | 'Bun' | 'Deno'
export const RUNTIMES: Record<Runtime, { name: string; version: string; args: string[] }>
export function programOf(runtime: Runtime): string
