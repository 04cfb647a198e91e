import { alertMarkdown, type Delivery } from "@noisescale/tracker";
import { bandPoints, customScalarsLayout } from "./layout.ts";
import { pngSize } from "./png-size.ts";
import {
  fileVersionEvent,
  imageEvent,
  isShowable,
  layoutEvent,
  panelDataEvent,
  scalarEvent,
  textEvent,
} from "./summary.ts";
import { tfRecord } from "./tf-record.ts";

/**
 * A delivery as TFRecords. The same delivery gives the same bytes: no clock is read, so that writing it again over itself
 * changes nothing for a reader.
 *
 * @param opensFile - whether a file starts with it: version first, then the layout of the Custom Scalars tab
 * @returns undefined where the delivery holds nothing that TensorBoard can show
 * @throws TrackerError, not retryable, where a panel is no PNG
 */
export function deliveryRecords(delivery: Delivery, opensFile: boolean): Buffer | undefined {
  const { panels, alerts = [], panelData, note } = delivery;
  const points = delivery.points.filter((point) => isShowable(point.value));
  const moments = [...points, ...panels, ...alerts, ...[panelData, note].filter((part) => part !== undefined)];
  if (moments.length === 0) return undefined;

  const events: Uint8Array[] = [];
  if (opensFile) {
    const timeMs = moments.reduce((earliest, moment) => Math.min(earliest, moment.timeMs), Number.POSITIVE_INFINITY);
    events.push(fileVersionEvent(timeMs), layoutEvent(customScalarsLayout(), { step: 0, timeMs }));
  }
  for (const point of [...points, ...bandPoints(points)]) events.push(scalarEvent(point.key, point.value, point));
  for (const panel of panels) {
    const size = pngSize(panel.panel, panel.bytes);
    const image = { title: panel.title, png: panel.bytes, ...size };
    events.push(imageEvent(`noise_scale/panel/${panel.panel}`, image, panel));
  }
  // A tag a rule: TensorBoard shows only the last texts of a tag.
  for (const alert of alerts) {
    events.push(textEvent(`noise_scale/alert/${alert.rule}/text_summary`, alertMarkdown(alert), alert));
  }
  if (panelData !== undefined) events.push(panelDataEvent(panelData.json, panelData));
  if (note !== undefined) events.push(textEvent("noise_scale/note/text_summary", note.markdown, note));
  return Buffer.concat(events.map(tfRecord));
}
