/** A line between a browser and a server: as slow as told, and cut when told. TLS goes through as it is. */

import net from 'node:net';

export class Line {
  #sockets = new Set();

  /** A line to a port of this machine that carries so many bytes a second upwards. */
  static async to(port, bytesPerSecond) {
    const line = new Line();
    line.target = port;
    line.bytesPerSecond = bytesPerSecond;
    line.server = net.createServer((near) => line.#carry(near));
    await new Promise((resolve) => line.server.listen(0, '127.0.0.1', resolve));
    line.port = line.server.address().port;
    return line;
  }

  /** Ends every connection in the middle of what it carries. New ones may be made. */
  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }

  close() {
    this.cut();
    this.server.close();
  }

  #carry(near) {
    const far = net.connect(this.target, '127.0.0.1');
    for (const [socket, other] of [[near, far], [far, near]]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    far.pipe(near);
    near.on('data', (bytes) => {
      near.pause();
      far.write(bytes);
      setTimeout(() => near.resume(), (bytes.length / this.bytesPerSecond) * 1000);
    });
  }
}
