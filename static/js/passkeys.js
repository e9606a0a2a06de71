// Passkeys: creates one or signs with one, and submits the form with the result.

async function readOptions(form) {
  const inlineOptions = document.getElementById("passkey-options");
  if (inlineOptions) return JSON.parse(inlineOptions.textContent);
  const response = await fetch(form.action, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response.json();
}

async function createPasskey(form) {
  const { publicKey } = (await readOptions(form)).creation_options;
  if (form.elements.passwordless?.checked) {
    publicKey.authenticatorSelection = {
      ...publicKey.authenticatorSelection,
      residentKey: "required",
      requireResidentKey: true,
      userVerification: "required",
    };
  }
  return navigator.credentials.create({
    publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(publicKey),
  });
}

async function signWithPasskey(form) {
  const { publicKey } = (await readOptions(form)).request_options;
  return navigator.credentials.get({
    publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(publicKey),
  });
}

function bindForm(form) {
  const button = form.querySelector("button[type=button]");
  const errorMessage = form.querySelector("[role=alert]");
  form.hidden = false;
  button.addEventListener("click", async () => {
    errorMessage.hidden = true;
    button.disabled = true;
    try {
      const credential = await (form.dataset.passkey === "create" ? createPasskey(form) : signWithPasskey(form));
      form.elements.credential.value = JSON.stringify(credential.toJSON());
      form.submit();
    } catch {
      errorMessage.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
}

// Browsers have passkeys on https and on localhost only, and for names of hosts, not for addresses.
const hasHostName = !/^[\d.]+$|^\[/.test(location.hostname);
if (hasHostName && window.PublicKeyCredential?.parseCreationOptionsFromJSON) {
  document.querySelectorAll("form[data-passkey]").forEach(bindForm);
} else {
  for (const element of document.querySelectorAll("[data-no-passkeys]")) element.hidden = false;
  for (const button of document.querySelectorAll("form[data-passkey] button[type=button]")) button.disabled = true;
}
