/** What a page of panels looks like; a page that knows its reader's choice says it as `data-theme`. */
export const panelStyle = `
:root { --background: #fbfbfa; --card: #fff; --ink: #1b1f24; --muted: #5c6370; --line: #e2e5e9; }
@media (prefers-color-scheme: dark) { :root:not([data-theme="light"]) { --background: #0f1216; --card: #171b21; --ink: #eceef2; --muted: #a3abb9; --line: #2c323b; } }
:root[data-theme="dark"] { --background: #0f1216; --card: #171b21; --ink: #eceef2; --muted: #a3abb9; --line: #2c323b; color-scheme: dark; }
:root[data-theme="light"] { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; padding: 16px; background: var(--background); color: var(--ink); font: 15px/1.5 Inter, system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.4rem; line-height: 1.25; margin: 0 0 4px; max-width: 40em; text-wrap: balance; }
h2 { font-size: 1rem; margin: 0; }
p { color: var(--muted); margin: 0 0 12px; max-width: 70ch; overflow-wrap: anywhere; }
.name { margin: 0; }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; min-width: 0; }
section p { font-size: 0.85rem; margin: 0 0 8px; }
.chart { position: relative; height: 300px; }
.missing { display: grid; place-items: center; height: 300px; text-align: center; }
/* In the small frame of a tracker's page the drawing comes first, its words below. */
@media (max-height: 560px) { body { display: flex; flex-direction: column; padding: 8px; } main { order: -1; margin-bottom: 12px; } h1 { font-size: 1.15rem; } }
`;
