import { PythonProcess } from "../../../test/tools/python-process.ts";
import { apiKey, type WandbServer } from "./wandb-server.ts";

/** A process with the real wandb client, which talks to the server and keeps its files in the folder. */
export function wandbPython(server: WandbServer, folder: string): PythonProcess {
  return new PythonProcess(new URL("wandb_client.py", import.meta.url), {
    WANDB_BASE_URL: server.url,
    WANDB_API_KEY: apiKey,
    WANDB_DIR: folder,
    WANDB_CACHE_DIR: folder,
    WANDB_CONFIG_DIR: folder,
    WANDB_ERROR_REPORTING: "false",
    WANDB_SILENT: "true",
    TRAINER_DIR: folder,
  });
}
