import {
  CategoryScale,
  Chart,
  Filler,
  LinearScale,
  LineController,
  LineElement,
  LogarithmicScale,
  PointElement,
} from "chart.js";

Chart.register(CategoryScale, Filler, LinearScale, LineController, LineElement, LogarithmicScale, PointElement);

/** Chart.js with the parts that the panels use. */
export { Chart };
