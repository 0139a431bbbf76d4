// From a handler's module to a component, with esbuild and componentize-qjs.
// usage: node build.mjs TOOLS SDK ENTRY OUT EXPORT…
//   TOOLS  folder with the two in its node_modules     ENTRY  the handler's module
//   SDK    folder of qx-guest                          OUT    has wit/; gets component.wasm and routes.txt
//   EXPORT functions of a world of the project's own; without one it is the SDK's
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [tools, sdk, entry, out, ...exports] = process.argv.slice(2);
const require = createRequire(join(tools, "package.json"));
const esbuild = require("esbuild");
const { componentize } = await import(pathToFileURL(require.resolve("componentize-qjs")));

const path = (file) => JSON.stringify(file);

/** A name of WIT as one of JavaScript. */
const camel = (name) => name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());

/** Ends the build for a reason of the project's. */
function fail(why) {
  throw Object.assign(new Error(why), { isOurs: true });
}

/** Modules of the SDK that need a right of their own, by the interface behind them. */
const REACH = ["http", "secrets", "sql"];

/** Bundles a module that is written here and not in a file. */
async function bundle(contents, plugins) {
  const built = await esbuild.build({
    stdin: { contents, resolveDir: process.cwd(), sourcefile: "component" },
    alias: { "qx-guest": sdk },
    absWorkingDir: process.cwd(),
    bundle: true,
    charset: "utf8",
    external: ["qx:*", "wasi:*"],
    format: "esm",
    logLevel: "warning",
    mainFields: ["module", "main"],
    outfile: join(out, "bundle.js"),
    platform: "neutral",
    plugins,
    sourcemap: "external",
    target: "es2023",
    metafile: true,
    write: false,
  });
  const file = (end) => built.outputFiles.find(({ path }) => path.endsWith(end)).text;
  // What is left after everything that nobody uses was taken out.
  const [{ inputs }] = Object.values(built.metafile.outputs).filter((output) => output.entryPoint);
  const used = (name) => {
    const wanted = join(sdk, name);
    return Object.entries(inputs).some(([input, { bytesInOutput }]) => bytesInOutput > 0 && resolve(input) === wanted);
  };
  return { code: file(".js"), map: JSON.parse(file(".map")), used };
}

/** In place of the host's interfaces, which only a component has. */
const noHost = {
  name: "no-host",
  setup(build) {
    build.onResolve({ filter: /^(qx|wasi):/ }, ({ path }) => ({ path, namespace: "none" }));
    build.onLoad({ filter: /.*/, namespace: "none" }, () => ({ contents: "module.exports = {}" }));
  },
};

/** For each line of the bundle the source and the line that it comes from. */
function lines(map) {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  let [source, line] = [0, 0];
  return map.mappings.split(";").map((mappings) => {
    let first;
    for (const mapping of mappings.split(",").filter(Boolean)) {
      const fields = [];
      let [value, shift] = [0, 0];
      for (const digit of mapping) {
        const bits = digits.indexOf(digit);
        value += (bits & 31) << shift;
        shift += 5;
        if (bits & 32) continue;
        fields.push(value & 1 ? -(value >> 1) : value >> 1);
        [value, shift] = [0, 0];
      }
      if (fields.length < 4) continue;
      source += fields[1];
      line += fields[2];
      first ??= [source, line + 1];
    }
    return first ?? 0;
  });
}

try {
  // Run once, here, to see which events the handlers take.
  const asks = exports.length > 0 ? `export * as own from ${path(entry)};` : `import ${path(entry)};`;
  const asked = `${asks} export { routes } from "qx-guest";`;
  const { code: asking, used } = await bundle(asked, [noHost]);
  const file = join(out, "routes.mjs");
  writeFileSync(file, asking);
  const { own, routes } = await import(`${pathToFileURL(file)}?${process.pid}`);
  writeFileSync(join(out, "routes.txt"), routes());
  for (const name of exports) {
    if (typeof own[camel(name)] === "function") continue;
    fail(`${relative(process.cwd(), entry)}: the world exports \`${name}\`, so export a function \`${camel(name)}\``);
  }

  const reach = REACH.filter((name) => used(`${name}.js`));
  const world = join(out, "wit", "world.wit");
  const imports = reach.map((name) => `  import qx:events/${name}@1.0.0;\n`).join("");
  writeFileSync(world, readFileSync(world, "utf8").replace("world handler {\n", `world handler {\n${imports}`));

  const parts = ["component", ...reach.map((name) => `component-${name}`)];
  const first = parts.map((name) => `import ${path(join(sdk, `${name}.js`))};`).join(" ");
  const componentFile = path(join(sdk, "component.js"));
  const typed = exports.map((name) => `export const ${camel(name)} = typed(${path(name)}, own.${camel(name)});`).join("\n");
  const whole = `${first} import * as own from ${path(entry)}; import { typed } from ${componentFile};
    export { handler } from ${componentFile};\n${typed}`;
  const { code, map } = await bundle(whole, []);
  const sources = map.sources.map((source) => {
    const file = join(out, source);
    const shown = relative(process.cwd(), file);
    return relative(sdk, file).startsWith("..") ? shown : `qx-guest/${relative(sdk, file)}`;
  });
  // After everything else, so that no line of the bundle moves.
  const places = `globalThis.qxSources=${JSON.stringify(sources)};globalThis.qxLines=${JSON.stringify(lines(map))};`;
  const { component } = await componentize({
    witPath: join(out, "wit"),
    world: "handler",
    jsSource: `${code}\n${places}\n`,
    sync: true,
  });
  writeFileSync(join(out, "component.wasm"), component);
} catch (error) {
  // esbuild has said what is wrong with the sources.
  if (!error.errors) console.error(error.isOurs ? error.message : (error.stack ?? String(error)));
  process.exitCode = 1;
}
