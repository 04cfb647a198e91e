/**
 * The loss of a small network in float64, a second time and without any library: layers of tanh, softmax on top, mean
 * cross-entropy. Its gradient and its Hessian are differences of the loss alone, element by element.
 */
export class Float64Network {
  readonly #inputs: number;
  readonly #hidden: number;
  readonly #classes: number;

  constructor(inputs: number, hidden: number, classes: number) {
    this.#inputs = inputs;
    this.#hidden = hidden;
    this.#classes = classes;
  }

  /** @param weights - hidden kernel and bias, output kernel and bias, each flat in the order of rows */
  loss(weights: readonly number[], examples: readonly LabelledExample[]): number {
    const [inputs, hidden, classes] = [this.#inputs, this.#hidden, this.#classes];
    const [bias1, kernel2] = [inputs * hidden, inputs * hidden + hidden];
    const bias2 = kernel2 + hidden * classes;
    const weight = (index: number) => weights[index] ?? Number.NaN;
    const losses = examples.map(({ x, label }) => {
      const middle = Array.from({ length: hidden }, (_, unit) =>
        Math.tanh(x.reduce((sum, value, i) => sum + value * weight(i * hidden + unit), weight(bias1 + unit))),
      );
      const scores = Array.from({ length: classes }, (_, output) =>
        middle.reduce((sum, value, i) => sum + value * weight(kernel2 + i * classes + output), weight(bias2 + output)),
      );
      return Math.log(scores.reduce((sum, score) => sum + Math.exp(score), 0)) - (scores[label] ?? Number.NaN);
    });
    return losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  }

  gradient(weights: readonly number[], examples: readonly LabelledExample[]): number[] {
    // Rounding 1e-16/1e-5, truncation (1e-5)²: both 1e-10.
    const h = 1e-5;
    return weights.map((_, i) => {
      const at = (move: number) => this.loss(moved(weights, [[i, move]]), examples);
      return (at(h) - at(-h)) / (2 * h);
    });
  }

  hessian(weights: readonly number[], examples: readonly LabelledExample[]): number[][] {
    // Rounding 1e-16/(1e-4)², truncation (1e-4)²: both 1e-8.
    const h = 1e-4;
    const matrix = weights.map(() => weights.map(() => Number.NaN));
    for (let i = 0; i < weights.length; i++) {
      for (let j = 0; j <= i; j++) {
        const at = (one: number, other: number) =>
          this.loss(
            moved(weights, [
              [i, one],
              [j, other],
            ]),
            examples,
          );
        const value = (at(h, h) - at(h, -h) - at(-h, h) + at(-h, -h)) / (4 * h * h);
        (matrix[i] as number[])[j] = value;
        (matrix[j] as number[])[i] = value;
      }
    }
    return matrix;
  }
}

export interface LabelledExample {
  readonly x: readonly number[];
  readonly label: number;
}

/** vᵀHv. */
export function quadraticForm(hessian: readonly (readonly number[])[], v: readonly number[]): number {
  return hessian.reduce((sum, row, i) => sum + (v[i] ?? 0) * row.reduce((part, h, j) => part + h * (v[j] ?? 0), 0), 0);
}

function moved(weights: readonly number[], moves: readonly (readonly [number, number])[]): number[] {
  const result = [...weights];
  for (const [index, move] of moves) result[index] = (result[index] ?? Number.NaN) + move;
  return result;
}
