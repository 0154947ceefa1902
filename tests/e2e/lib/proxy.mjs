// proxy.mjs - a bad network: TCP between a port that it owns and another one, with faults on demand.
//
// It passes bytes on and understands none of them. A fault lasts until heal(); several may be there at once. What each
// does to connections that are there, and to new ones:
//
//   cut({reset})       ends those that are there, by FIN or RST; new ones pass
//   cutAfter(bytes)    as cut, once so many more bytes have gone up: in the middle of a record
//   close()            ends them, and new ones are refused; open() again
//   delay(ms)          every byte comes so much later, both ways
//   throttle(n)        at most n bytes a second, each way
//   hold(way)          'up', 'down' or 'both': bytes wait and go on at heal(), as when a cable was out
//   blackHole()        bytes are taken and thrown away, of new connections as well; nobody is told of an end
//   halfOpen()         the same for those that are there; new ones pass, as after a router has lost its table
//
// Connections that have lost bytes stay silent after heal(), too: TCP has no way to mend them.
import { once } from 'node:events';
import net from 'node:net';

const SLICE_MS = 20; // of a throttled second
const QUEUE_MAX = 256 * 1024; // bytes of one direction that wait here; then the sender is not read

/** One direction of one connection. */
class Direction {
    constructor(proxy, way, from, to) {
        Object.assign(this, { proxy, way, from, to, queue: [], bytes: 0, ended: false, free: 0 });
        from.on('data', (chunk) => this.take(chunk));
        from.on('end', () => this.end());
    }

    take(chunk) {
        if (this.lost || this.proxy.losing) {
            this.lost = true;
            return;
        }
        this.queue.push({ chunk, due: performance.now() + this.proxy.delayMs });
        this.bytes += chunk.length;
        if (this.bytes > QUEUE_MAX) this.from.pause();
        this.pump();
    }

    end() {
        this.ended = true;
        this.pump();
    }

    /** The end, too, keeps its place in the queue; of a connection that lost bytes nobody hears. */
    finish() {
        if (this.ended && this.queue.length === 0 && !this.lost && !this.proxy.losing) this.to.end();
    }

    held() {
        const { holding } = this.proxy;
        return holding === 'both' || holding === this.way;
    }

    /** How many bytes may go now. */
    allowance() {
        if (!this.proxy.rate) return Infinity;
        const now = performance.now();
        if (now < this.free) return 0;
        this.free = now + SLICE_MS;
        return Math.max(1, Math.floor((this.proxy.rate * SLICE_MS) / 1000));
    }

    later(ms) {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.pump(), Math.max(1, ms));
    }

    write(chunk) {
        this.proxy.count(this.way, chunk.length);
        if (!this.to.destroyed) this.to.write(chunk);
    }

    pump() {
        if (this.held()) return;
        let room = this.queue.length > 0 ? this.allowance() : 0;
        while (this.queue.length > 0) {
            const first = this.queue[0];
            const wait = first.due - performance.now();
            if (wait > 0) return this.later(wait);
            if (room === 0) return this.later(this.free - performance.now());
            const part = first.chunk.subarray(0, room);
            room -= part.length;
            this.bytes -= part.length;
            if (part.length === first.chunk.length) this.queue.shift();
            else first.chunk = first.chunk.subarray(part.length);
            this.write(part);
        }
        if (this.bytes <= QUEUE_MAX) this.from.resume();
        this.finish();
    }

    lose() {
        this.lost = true;
        this.queue = [];
        this.bytes = 0;
        this.from.resume();
    }
}

class Connection {
    constructor(proxy, outside) {
        const inside = net.connect({ port: proxy.target, host: '127.0.0.1', allowHalfOpen: true });
        Object.assign(this, { proxy, outside, inside });
        for (const socket of [outside, inside]) {
            socket.setNoDelay(true);
            socket.on('error', () => {});
            socket.on('close', () => this.onClose(socket));
        }
        this.up = new Direction(proxy, 'up', outside, inside);
        this.down = new Direction(proxy, 'down', inside, outside);
    }

    get silent() {
        return this.up.lost || this.down.lost || this.proxy.losing;
    }

    /** An end that was no FIN is told to the other side, unless that is to hear nothing. */
    onClose(socket) {
        const other = socket === this.outside ? this.inside : this.outside;
        if (!this.silent && !this.proxy.holding) other.destroySoon();
        if (other.destroyed) this.proxy.connections.delete(this);
    }

    pump() {
        this.up.pump();
        this.down.pump();
        for (const socket of [this.outside, this.inside]) if (socket.destroyed) this.onClose(socket);
    }

    lose() {
        this.up.lose();
        this.down.lose();
    }

    end(reset) {
        for (const direction of [this.up, this.down]) clearTimeout(direction.timer);
        for (const socket of [this.outside, this.inside]) {
            if (reset) socket.resetAndDestroy();
            else socket.destroy();
        }
        this.proxy.connections.delete(this);
    }
}

export class Proxy {
    /** Passes on what comes to 127.0.0.1:port to 127.0.0.1:target, once open. */
    constructor(port, target) {
        Object.assign(this, { port, target, connections: new Set(), accepted: 0, bytesUp: 0, bytesDown: 0 });
        this.reset();
    }

    reset() {
        this.delayMs = 0;
        this.rate = 0; // 0: no limit
        this.holding = ''; // 'up', 'down', 'both'
        this.losing = false;
        this.cutAt = Infinity;
    }

    async open() {
        this.reset();
        this.server = net.createServer({ allowHalfOpen: true }, (socket) => {
            this.accepted++;
            this.connections.add(new Connection(this, socket));
        });
        this.server.listen(this.port, '127.0.0.1');
        await once(this.server, 'listening');
    }

    async close() {
        if (!this.server) return;
        const closed = once(this.server, 'close');
        this.server.close();
        this.cut();
        await closed;
        this.server = undefined;
    }

    count(way, bytes) {
        if (way === 'down') this.bytesDown += bytes;
        else this.bytesUp += bytes;
        if (this.bytesUp >= this.cutAt) {
            this.cutAt = Infinity;
            setImmediate(() => this.cut({ reset: true })); // the bytes go out first
        }
    }

    cut({ reset = false } = {}) {
        for (const connection of [...this.connections]) connection.end(reset);
    }

    cutAfter(bytes) {
        this.cutAt = this.bytesUp + bytes;
    }

    delay(ms) {
        this.delayMs = ms;
    }

    throttle(bytesPerSecond) {
        this.rate = bytesPerSecond;
    }

    hold(way = 'both') {
        this.holding = way;
    }

    blackHole() {
        this.losing = true;
        this.halfOpen();
    }

    halfOpen() {
        for (const connection of this.connections) connection.lose();
    }

    /** No fault any more. */
    heal() {
        this.reset();
        for (const connection of [...this.connections]) connection.pump();
    }
}
