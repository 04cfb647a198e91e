/** Where the store lies unless `--data` says otherwise; relative to the folder that the command is run in. */
export const defaultDataDirectory = ".noisescale";
