/** Letters on a canvas are measured once, when they are drawn: their font has to be there. */
export const fontsLoaded: Promise<unknown> = Promise.allSettled([
  document.fonts.load('12px "Inter"'),
  document.fonts.load('600 12px "Inter"'),
]);
