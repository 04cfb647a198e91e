declare module "mnist" {
  /** One entry a digit, 0 to 9; `raw` holds its pictures one after the other, 784 numbers in 0…1 each. */
  const digits: readonly { readonly raw: readonly number[] }[];
  export = digits;
}
