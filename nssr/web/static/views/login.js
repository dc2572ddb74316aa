// The server's token, asked for once per browser; the server keeps it in a cookie that no script can read.

import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { login } from "../api.js";
import { useAction } from "../loading.js";
import { Problem } from "../parts.js";

export function Login({ onSignedIn }) {
  const [token, setToken] = useState("");
  const field = useRef(null);
  const [enter, busy, problem] = useAction(async () => {
    try {
      await login(token.trim());
    } catch (refused) {
      field.current?.select();
      throw refused;
    }
    onSignedIn();
  });
  useEffect(() => field.current.focus(), []);
  const submit = (event) => {
    event.preventDefault();
    enter();
  };
  return html`<form class="card login" onSubmit=${submit} aria-labelledby="login-title">
    <h2 id="login-title">This server asks for its token</h2>
    <p>It stands at the end of the address that <code>nssr serve</code> printed. What you were doing goes on afterwards.</p>
    <input class="only-read" type="text" autocomplete="username" value="nssr" readonly tabindex="-1" aria-hidden="true" />
    <label for="token">Token</label>
    <input id="token" type="password" autocomplete="current-password" required value=${token} ref=${field}
      onInput=${(e) => setToken(e.currentTarget.value)} />
    <${Problem} problem=${problem} />
    <button class="primary" disabled=${busy}>Go on</button>
  </form>`;
}
