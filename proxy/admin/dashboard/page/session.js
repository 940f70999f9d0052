// The admin token: in this tab's memory and sessionStorage, in the Authorization header, and nowhere else.

const KEY = "sluicegate-admin-token";

let token = "";
try {
  token = sessionStorage.getItem(KEY) ?? "";
} catch {
  // a browser that keeps nothing: it is asked for again after a reload
}

export const hasToken = () => token !== "";

export function setToken(value) {
  token = value;
  try {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  } catch {
    // kept in memory alone
  }
}

/** Fields for any request of ours. A token of letters that no field can hold is none: fetch would throw. */
export const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});

/** Whether a header can carry it. */
export const canBeToken = (value) => /^[\x21-\x7e]+$/.test(value);

/** `wait`: after so many seconds it may be asked again; 0 where that is not said. */
export class Refused extends Error {
  constructor(status, message, wait = 0) {
    super(message);
    this.status = status;
    this.wait = wait;
  }
}

/** What an answer that is no success says of itself. */
export async function refusal(answer) {
  const said = await answer.json().catch(() => ({}));
  const problems = Array.isArray(said.problems) ? said.problems.join("; ") : "";
  const message = said.error || problems || `the gateway answered ${answer.status}`;
  return new Refused(answer.status, message, Number(answer.headers.get("Retry-After")) || 0);
}

/** A call of the admin API: its JSON. Throws Refused with what it said, TypeError where nobody answers. */
export async function call(method, path, body) {
  const init = { method, headers: headers(), cache: "no-store", credentials: "omit", redirect: "error" };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(path, init);
  if (!answer.ok) throw await refusal(answer);
  return answer.json().catch(() => ({}));
}
