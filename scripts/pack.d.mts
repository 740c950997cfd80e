export function machineTarget(): string
export function npmCli(): string
export function pack(folder: string, options?: { targets?: string[]; addons?: string; release?: boolean }): string[]
export const allTargets: string[]
