/** Colours with one meaning each, told apart by people who do not see red or green. */
export interface Theme {
  readonly name: "light" | "dark";
  readonly background: string;
  /** What the user runs now, and titles. */
  readonly ink: string;
  readonly muted: string;
  readonly grid: string;
  /** Other runs behind this one. */
  readonly behind: string;
  /** The measurement. */
  readonly blue: string;
  /** The recommendation. */
  readonly orange: string;
  /** The cost in units. */
  readonly green: string;
  readonly blueBand: string;
  readonly orangeBand: string;
}

export const lightTheme: Theme = {
  name: "light",
  background: "#ffffff",
  ink: "#1b1f24",
  muted: "#5c6370",
  grid: "#e6e8ec",
  behind: "#a3abb8",
  blue: "#0a66c8",
  orange: "#bf4d00",
  green: "#0a7a52",
  blueBand: "rgba(10, 102, 200, 0.14)",
  orangeBand: "rgba(191, 77, 0, 0.14)",
};

export const darkTheme: Theme = {
  name: "dark",
  background: "#171b21",
  ink: "#eceef2",
  muted: "#a3abb9",
  grid: "#2c323b",
  behind: "#69727f",
  blue: "#6db3ff",
  orange: "#ff9d57",
  green: "#4fc99b",
  blueBand: "rgba(109, 179, 255, 0.18)",
  orangeBand: "rgba(255, 157, 87, 0.18)",
};
