export function installOnDemand(name: string, packages: string[]): string
