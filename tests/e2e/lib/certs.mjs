// certs.mjs - the tests' certificates, made on the spot by tests/make-certs.sh, once a process.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './system.mjs';

const script = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../make-certs.sh');

/** In `dir`: NAME.crt and NAME.key for every name that the script lists. */
export class Certs {
    constructor(dir) {
        this.dir = dir;
    }

    static async make(dir) {
        const made = await run('sh', [script, dir], { timeout: 60000 });
        if (made.code !== 0) throw new Error(`make-certs.sh: ${made.stderr}${made.stdout}`);
        return new Certs(dir);
    }

    path(file) {
        return path.join(this.dir, file);
    }

    read(file) {
        return readFileSync(this.path(file));
    }

    /** What MQTT.js needs to speak TLS with somebody whose certificate the test CA has signed. */
    client(name = 'device') {
        return { ca: this.read('ca.crt'), cert: this.read(`${name}.crt`), key: this.read(`${name}.key`) };
    }
}
