import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type OutgoingHttpHeaders, request, type Server } from "node:http";
import { pipeline } from "node:stream";

/** What a proxy answers itself, in place of the server behind it. */
export interface ProxyAnswer {
  readonly status: number;
  readonly headers?: OutgoingHttpHeaders;
  readonly body: string;
}

/** A proxy in front of a server, as companies put one there: it forwards a request, or answers it itself. */
export class ReverseProxy {
  readonly url: string;
  readonly #server: Server;

  private constructor(url: string, server: Server) {
    this.url = url;
    this.#server = server;
  }

  /** @param decide - headers to set on a request that is forwarded, or the answer to one that is not */
  static async start(
    target: string,
    decide: (headers: IncomingHttpHeaders) => OutgoingHttpHeaders | ProxyAnswer,
  ): Promise<ReverseProxy> {
    const server = createServer((incoming, answer) => {
      const decided = decide(incoming.headers);
      if (isAnswer(decided)) {
        answer.writeHead(decided.status, decided.headers).end(decided.body);
        return;
      }
      const headers = { ...incoming.headers, ...decided };
      const forwarded = request(
        new URL(incoming.url ?? "/", target),
        { method: incoming.method, headers },
        (response) => {
          answer.writeHead(response.statusCode ?? 502, response.headers);
          response.pipe(answer);
        },
      );
      // What the caller cuts off is cut off behind the proxy too.
      pipeline(incoming, forwarded, () => undefined);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port was given");
    return new ReverseProxy(`http://127.0.0.1:${address.port}`, server);
  }

  /** One that lets in who brings the token, and enters the server behind it by an account of its own. */
  static demandingToken(target: string, token: string, ownAuthorization: string): Promise<ReverseProxy> {
    return ReverseProxy.start(target, ({ authorization }) =>
      authorization === `Bearer ${token}`
        ? { authorization: ownAuthorization }
        : { status: 401, headers: { "www-authenticate": 'Bearer realm="team"' }, body: "no valid token" },
    );
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

function isAnswer(decided: OutgoingHttpHeaders | ProxyAnswer): decided is ProxyAnswer {
  return typeof decided["status"] === "number";
}
