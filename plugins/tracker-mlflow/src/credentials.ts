/** What a server may be entered with: a user's name and password, or a token; neither for a server that is open. */
export interface MlflowCredentials {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Sent as `Authorization: Bearer`, for a proxy in front of MLflow. */
  readonly token?: string | undefined;
}

/**
 * The `Authorization` header, undefined for an open server.
 *
 * @param trackingUri - a user and a password in it are used where the credentials name no user
 * @throws RangeError where both ways to enter are given, or what is in the address cannot be read
 */
export function authorizationOf(credentials: MlflowCredentials, trackingUri: string): string | undefined {
  const url = URL.parse(trackingUri);
  const username = credentials.username ?? decoded(url?.username ?? "");
  const password = credentials.password ?? decoded(url?.password ?? "");
  if (credentials.token !== undefined && username !== "") {
    throw new RangeError("mlflow: give either a token or username and password, not both");
  }
  if (credentials.token !== undefined) return `Bearer ${credentials.token}`;
  if (username === "") return undefined;
  return `Basic ${Buffer.from(`${username}:${password}`, "utf8").toString("base64")}`;
}

/** @throws RangeError with no word of what it was */
function decoded(inAddress: string): string {
  try {
    return decodeURIComponent(inAddress);
  } catch {
    throw new RangeError(
      "mlflow: tracking_uri: a % in its user or password that stands for itself is written %25; or give username and password",
    );
  }
}

/**
 * What to change where a server answers 401.
 *
 * @param sent - the `Authorization` header that it did not take
 * @param challenge - its `WWW-Authenticate` header, empty without one: the schemes that it takes
 */
export function credentialsAdvice(sent: string | undefined, challenge: string): string {
  const takes = (scheme: string): boolean => new RegExp(`\\b${scheme}\\b`, "i").test(challenge);
  const onlyToken = takes("Bearer") && !takes("Basic");
  const onlyPassword = takes("Basic") && !takes("Bearer");
  const wanted = onlyToken ? "a token" : onlyPassword ? "username and password" : "username and password, or a token";
  if (sent === undefined) return `It wants ${wanted}, and there is none ${place}.`;
  const isToken = sent.startsWith("Bearer ");
  if (isToken && onlyPassword) return `It wants username and password, and there is a token ${place}.`;
  if (!isToken && onlyToken) return `It wants a token, and there are username and password ${place}.`;
  return isToken
    ? `It does not take this token, or no longer: put a valid one ${place}.`
    : `It does not take this username and password: check both ${place}.`;
}

const place =
  "in the collector's configuration (username, password, token) or environment " +
  "(MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN)";
