import { shortLayerNames } from "../layer-names.ts";
import { logRange } from "../log-axis.ts";
import { estimateText } from "../number-text.ts";
import { type LayerNumbers, type PanelData, unitWords } from "../panel-data.ts";
import { lineDataset, type PanelConfiguration, panelFrame } from "../panel-frame.ts";
import type { Theme } from "../theme.ts";

/** Layers that are drawn: those with the largest share of the noise. */
const drawnLayers = 16;
/** Upper bounds this far above every value run off the side, as unbounded ones do. */
const widest = 20;

type NamedLayer = readonly [name: string, layer: LayerNumbers];

/** Layers by share of tr Σ, the largest first: an object's order is not theirs, since names may be numbers. */
function byShare({ snapshot }: PanelData): NamedLayer[] {
  const share = ([, layer]: NamedLayer): number => layer.covariance_trace_share ?? 0;
  return Object.entries(snapshot.layers ?? {}).sort((one, other) => share(other) - share(one));
}

/** Panel 5: each layer's noise scale with its interval, and its share of the noise. */
export function layersPanel(data: PanelData, theme: Theme): PanelConfiguration {
  const layers = byShare(data).slice(0, drawnLayers);
  const values = layers.flatMap(([, { b_simple, b_simple_low }]) => [b_simple, b_simple_low]);
  const whole = data.snapshot.b_simple;
  const inner = logRange([...values, whole], { min: 1, max: 1000 });
  const bounded = layers.map(([, { b_simple_high: high }]) =>
    high === null ? null : Math.min(high, inner.max * widest),
  );
  const range = logRange([...values, whole, ...bounded], inner);
  const beyond = range.max * 10;
  const intervals = layers.flatMap(([, { b_simple_low: low, b_simple_high: high }], y) => {
    if (low === null) return [];
    const ends = [
      { x: low, y },
      { x: Math.min(high ?? beyond, beyond), y },
    ];
    return [lineDataset(ends, theme.blueBand, { borderWidth: 10, borderCapStyle: "butt" })];
  });
  const middles = layers.flatMap(([, { b_simple: value }], y) => (value === null ? [] : [{ x: value, y }]));
  const wholeLine =
    whole === null
      ? []
      : [
          { x: whole, y: -0.5 },
          { x: whole, y: layers.length - 0.5 },
        ];
  return panelFrame(theme, {
    datasets: [
      ...middles.map((point) => lineDataset([point], theme.blue, { showLine: false, pointRadius: 4 })),
      lineDataset(wholeLine, theme.blue, { borderDash: [2, 3], borderWidth: 1.5 }),
      ...intervals,
    ],
    x: { kind: "log", title: `B_simple, ${unitWords[data.snapshot.unit]}; dotted: the whole`, range },
    y: { kind: "names", names: rowNames(layers) },
    labels: [],
  });
}

/** Name and share of the noise. */
function rowNames(layers: readonly NamedLayer[]): string[] {
  const names = shortLayerNames(layers.map(([name]) => name));
  return layers.map(([, { covariance_trace_share: share }], row) =>
    share === null ? (names[row] ?? "") : `${names[row]}, ${percent(share)}`,
  );
}

export function layersSubtitle(data: PanelData): string {
  const layers = byShare(data);
  const shown = "B_simple with its 95 % interval, and share of the noise tr Σ";
  return layers.length <= drawnLayers
    ? shown
    : `${shown}; the ${drawnLayers} of ${layers.length} layers with the most, ${percent(shareOf(layers.slice(0, drawnLayers)))} together`;
}

function shareOf(layers: readonly NamedLayer[]): number {
  return layers.reduce((sum, [, { covariance_trace_share: share }]) => sum + (share ?? 0), 0);
}

export function layersText(data: PanelData): string {
  const layers = byShare(data);
  const units = unitWords[data.snapshot.unit];
  const words = layers
    .slice(0, 5)
    .map(([name, { b_simple: value, b_simple_low: low, covariance_trace_share: share }]) => {
      const part = share === null ? "" : `, ${percent(share)} of the noise`;
      if (value !== null) return `${name}: ${estimateText(value)} ${units}${part}`;
      return low === null ? `${name}: not known yet${part}` : `${name}: at least ${estimateText(low)} ${units}${part}`;
    });
  const others = layers.slice(words.length);
  const rest = others.length === 0 ? "" : ` And ${others.length} more, with ${percent(shareOf(others))} of the noise.`;
  return layers.length === 0 ? "No layer was measured." : `${words.join("; ")}.${rest}`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}
