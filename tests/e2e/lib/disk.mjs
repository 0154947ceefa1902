// disk.mjs - a file system of a gateway's own, to fill up, make larger or read-only.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { run } from './system.mjs';

/** Options for a scenario that mounts one. */
export const needsRoot = { skip: process.getuid() === 0 ? false : 'needs root for a small tmpfs' };

/** Mounts one of this size at `disk`, before the gateway starts; it goes with the scenario. Returns why there is none. */
export async function mountSmall(s, gateway, size, disk = gateway.data) {
    mkdirSync(disk, { recursive: true });
    const mounted = await run('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', disk]);
    if (mounted.code !== 0) return `a tmpfs cannot be mounted: ${mounted.stderr.trim()}`;
    s.defer(async () => {
        await gateway.kill();
        await run('umount', [disk]);
    });
    return undefined;
}

/** As mount(8) is told: 'size=64m', 'ro', 'rw'. */
export async function remount(disk, how) {
    const done = await run('mount', ['-o', `remount,${how}`, disk]);
    assert.equal(done.code, 0, done.stderr);
}

/** Writes this file until there is no byte left. */
export const fill = (hog) => run('dd', ['if=/dev/zero', `of=${hog}`, 'bs=16k', 'status=none']);
