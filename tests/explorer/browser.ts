/**
 * Chromium, driven over the DevTools protocol: just what the tests of the explorer need.
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

const PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  "--remote-debugging-port=0",
];
const TIMEOUT_MS = 20_000;

type Json = Record<string, unknown>;

/** Where the browser is; null where there is none. */
export function findChromium(): string | null {
  const given = process.env["SHARDYFUSION_CHROMIUM"];
  return [...(given === undefined ? [] : [given]), ...PATHS].find((path) => existsSync(path)) ?? null;
}

/** A browser that was started. */
export class Browser implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, { resolve: (result: Json) => void; reject: (error: Error) => void }>();
  readonly #listeners = new Map<string, (method: string, params: Json) => void>();
  #lastId = 0;

  constructor(child: ChildProcess, profile: string, socket: WebSocket) {
    this.#child = child;
    this.#profile = profile;
    this.#socket = socket;
    socket.addEventListener("message", (event) => this.#take(JSON.parse(String(event.data))));
  }

  /** Sends a command, and waits for its answer. */
  send(method: string, params: Json = {}, sessionId?: string): Promise<Json> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method}: no answer`)), TIMEOUT_MS);
      const done = <T>(settle: (value: T) => void) => (value: T): void => {
        clearTimeout(timer);
        settle(value);
      };
      this.#waiting.set(id, { resolve: done(resolve), reject: done(reject) });
      this.#socket.send(JSON.stringify({ id, method, params, ...(sessionId === undefined ? {} : { sessionId }) }));
    });
  }

  /** Opens an empty page. */
  async newPage(): Promise<Page> {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, String(sessionId));
    this.#listeners.set(String(sessionId), (method, params) => page.take(method, params));
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await page.send(`${domain}.enable`);
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    await this.send("Browser.close").catch(() => this.#child.kill("SIGKILL"));
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 5000);
    await ended;
    clearTimeout(timer);
    this.#socket.close();
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  #take(message: Json): void {
    const { id, error, result, method, params, sessionId } = message;
    if (typeof method === "string") {
      this.#listeners.get(String(sessionId))?.(method, params as Json);
      return;
    }
    const waiting = this.#waiting.get(Number(id));
    this.#waiting.delete(Number(id));
    if (error === undefined) waiting?.resolve(result as Json);
    else waiting?.reject(new Error(String((error as Json)["message"])));
  }
}

/** Starts a browser with a new profile. */
export async function openBrowser(path: string): Promise<Browser> {
  const profile = await mkdtemp(join(tmpdir(), "shardyfusion-chromium-"));
  const child = spawn(path, [...FLAGS, `--user-data-dir=${profile}`, "about:blank"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const address = await new Promise<string>((resolve, reject) => {
    let said = "";
    const timer = setTimeout(() => reject(new Error(`Chromium did not start: ${said}`)), TIMEOUT_MS);
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`Chromium ended with ${code}: ${said}`)));
    child.stderr!.on("data", (chunk) => {
      said += String(chunk);
      const found = /DevTools listening on (ws:\S+)/.exec(said)?.[1];
      if (found === undefined) return;
      clearTimeout(timer);
      resolve(found);
    });
  });
  const socket = new WebSocket(address);
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve, { once: true });
    socket.addEventListener("error", () => reject(new Error("Chromium takes no connection")), { once: true });
  });
  return new Browser(child, profile, socket);
}

const KEY_CODES: Readonly<Record<string, readonly [code: string, number]>> = {
  Enter: ["Enter", 13],
  Tab: ["Tab", 9],
  Escape: ["Escape", 27],
  End: ["End", 35],
  Home: ["Home", 36],
  ArrowLeft: ["ArrowLeft", 37],
  ArrowRight: ["ArrowRight", 39],
  " ": ["Space", 32],
};

/** One page. */
export class Page {
  /** What the console and the log called wrong. */
  readonly errors: string[] = [];
  /** Addresses that were asked for. */
  readonly requests: string[] = [];
  readonly #browser: Browser;
  readonly #sessionId: string;

  constructor(browser: Browser, sessionId: string) {
    this.#browser = browser;
    this.#sessionId = sessionId;
  }

  send(method: string, params: Json = {}): Promise<Json> {
    return this.#browser.send(method, params, this.#sessionId);
  }

  // deno-lint-ignore no-explicit-any -- the protocol's events
  take(method: string, params: any): void {
    if (method === "Runtime.exceptionThrown") {
      const { text, exception } = params.exceptionDetails;
      this.errors.push(`${text} ${exception?.description ?? ""}`);
    } else if (method === "Runtime.consoleAPICalled" && ["error", "warning", "assert"].includes(params.type)) {
      this.errors.push(JSON.stringify(params.args.map((arg: Json) => arg["value"] ?? arg["description"])));
    } else if (method === "Log.entryAdded" && ["error", "warning"].includes(params.entry.level)) {
      this.errors.push(`${params.entry.text} ${params.entry.url ?? ""}`);
    } else if (method === "Network.requestWillBeSent") this.requests.push(params.request.url);
  }

  async goTo(url: string): Promise<void> {
    await this.send("Page.navigate", { url });
    await this.waitFor(`document.readyState === "complete" && location.href.startsWith(${JSON.stringify(url)})`);
  }

  /** The value of an expression in the page. */
  async read<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    }) as { result: { value: T }; exceptionDetails?: { exception?: { description?: string } } };
    if (exceptionDetails !== undefined) throw new Error(exceptionDetails.exception?.description ?? expression);
    return result.value;
  }

  /** Waits until an expression is true. */
  async waitFor(expression: string): Promise<void> {
    const endMs = performance.now() + TIMEOUT_MS;
    while (!(await this.read<boolean>(`Boolean(${expression})`).catch(() => false))) {
      if (performance.now() > endMs) {
        throw new Error(`${expression} does not become true; ${this.errors.join("; ")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  async text(selector: string): Promise<string> {
    return await this.read(`document.querySelector(${JSON.stringify(selector)}).innerText`);
  }

  /** Clicks the middle of an element, as a mouse does. */
  async click(selector: string): Promise<void> {
    const [x, y] = await this.read<[number, number]>(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)});
      element.scrollIntoView({ block: "center" });
      const box = element.getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2];
    })()`);
    for (const type of ["mousePressed", "mouseReleased"]) {
      await this.send("Input.dispatchMouseEvent", { type, x, y, button: "left", clickCount: 1 });
    }
  }

  async press(key: string): Promise<void> {
    const [code, keyCode] = KEY_CODES[key] ?? ["", key.toUpperCase().charCodeAt(0)];
    const text = key === "Enter" ? "\r" : key.length === 1 ? key : undefined;
    const common = { key, code, windowsVirtualKeyCode: keyCode };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...common, ...(text && { text }) });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...common });
  }

  async type(text: string): Promise<void> {
    await this.send("Input.insertText", { text });
  }

  async setViewport(width: number, height: number, isPhone = false): Promise<void> {
    const metrics = { width, height, deviceScaleFactor: 1, mobile: isPhone };
    await this.send("Emulation.setDeviceMetricsOverride", metrics);
  }

  async setColorScheme(value: "light" | "dark"): Promise<void> {
    await this.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value }] });
  }

  /** A PNG of what is seen, or of the whole page. */
  async screenshot(isWhole = false): Promise<Uint8Array> {
    const { data } = await this.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: isWhole });
    return Uint8Array.from(atob(String(data)), (letter) => letter.charCodeAt(0));
  }

  /** What screen readers are told of everything that can be used: role and name. */
  async controls(): Promise<{ role: string; name: string }[]> {
    const { nodes } = await this.send("Accessibility.getFullAXTree") as {
      nodes: { ignored: boolean; role?: { value: string }; name?: { value: string } }[];
    };
    const roles = ["button", "textbox", "searchbox", "radio", "slider", "img", "image", "link", "table", "region"];
    return nodes.filter(({ ignored, role }) => !ignored && roles.includes(role?.value ?? ""))
      .map(({ role, name }) => ({ role: role!.value, name: name?.value ?? "" }));
  }
}
