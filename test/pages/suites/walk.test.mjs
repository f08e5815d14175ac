// The journey that must never break: twelve steps on the pages, as a person takes them, and once more with the phone known.

import assert from 'node:assert/strict';
import { scripts, suite, number } from '../lib/suite.mjs';

suite('the journey', [], (each) => {
  each('first sign-in, then the second', async ({ v, server, env }) => {
    await v.open(`${env.LATCHKEY_URL}/app/`);
    await v.sees('An application that leaves identity to an engine.');
    await v.page.getByRole('main').getByRole('link', { name: 'Sign in' }).click();

    await v.sees('Sign in', 'Latchkey Demo'); // 1
    await v.signIn(env.USERNAME, env.PASSWORD); // 2, 3
    await v.sees('Add a way to verify it’s you', 'A code by text message', env.USERNAME); // 4
    await v.press(/Phone/); // 5
    await v.sees('Add your phone'); // 6
    await v.type('Phone number', '+1 (555) 123-4567');
    await v.press('Send code'); // 7, 8
    await v.sees('Enter your code', '+1 ••• ••• 4567'); // 9
    await v.code(await server.code(number)); // 10, 11
    await v.sees('Hello, Mary.', 'mary@example.com', '•••• 4567'); // 12
    assert.ok(!(await v.page.content()).includes('5551234567'), 'the number is not shown whole');
    assert.equal(new URL(v.page.url()).pathname, '/app/');

    await v.press('Sign out');
    await v.sees('You’re signed out');
    await v.open(`${env.LATCHKEY_URL}/app/`);
    await v.sees('An application that leaves identity to an engine.');

    await server.empty();
    await v.open(env.SIGNIN_URL);
    await v.signIn(env.USERNAME, env.PASSWORD);
    await v.sees('Verify it’s you', '+1 ••• ••• 4567');
    await v.press('Send code');
    await v.sees('Enter your code', '+1 ••• ••• 4567');
    await v.code(await server.code(number));
    await v.sees('Hello, Mary.');
    await v.open(env.SIGNIN_URL);
    await v.sees('You’re signed in', 'Welcome, Mary');
    await v.follow('Continue');
    await v.sees('Hello, Mary.');
  });

  each('the keyboard alone', async ({ v, server, env }) => {
    const key = async (...keys) => { for (const k of keys) await v.page.keyboard.press(k); };
    await v.open(env.SIGNIN_URL);
    await v.sees('Sign in');
    assert.equal(await v.focused(), 'Username');
    await v.page.keyboard.type(env.USERNAME_ENROLLED);
    await key('Tab');
    assert.equal(await v.focused(), 'Password');
    await v.page.keyboard.type(env.PASSWORD_ENROLLED);
    await key('Enter');
    await v.sees('Verify it’s you');
    await v.page.getByRole('button', { name: 'Send code' }).focus();
    await key('Enter');
    await v.sees('Enter your code');
    assert.equal(await v.focused(), 'Code');
    await v.page.keyboard.type(await server.code(env.PHONE_ENROLLED));
    if (!v.host.scripts) await key('Enter');
    await v.sees('Hello, Paul.');
  });

  each('what a browser is told about each field', async (at) => {
    const { v, env } = at;
    const attributes = (label, ...names) =>
      v.page.getByLabel(label, { exact: true }).evaluate((e, names) => names.map((n) => e.getAttribute(n)), names);
    await v.open(env.SIGNIN_URL);
    assert.deepEqual(await attributes('Username', 'autocomplete', 'autocapitalize'), ['username', 'none']);
    assert.deepEqual(await attributes('Password', 'autocomplete', 'type'), ['current-password', 'password']);
    await v.signIn(env.USERNAME, env.PASSWORD);
    await v.press(/Phone/);
    assert.deepEqual(await attributes('Phone number', 'autocomplete', 'type', 'inputmode'), ['tel', 'tel', 'tel']);
    await v.type('Phone number', number);
    await v.press('Send code');
    assert.deepEqual(await attributes('Code', 'autocomplete', 'inputmode'), ['one-time-code', 'numeric']);
    assert.equal(await v.page.locator('html').getAttribute('lang'), 'en');
  });

  each('a code that is pasted with a space in it', async (at) => {
    const { v, server, env } = at;
    await v.open(env.SIGNIN_URL);
    await v.signIn(env.USERNAME_ENROLLED, env.PASSWORD_ENROLLED);
    await v.press('Send code');
    await v.sees('Enter your code');
    const code = await server.code(env.PHONE_ENROLLED);
    const field = v.page.getByLabel('Code', { exact: true });
    await field.fill(`${code.slice(0, 3)} ${code.slice(3)}`);
    if (!v.host.scripts) await v.press('Verify');
    await v.sees('Hello, Paul.');
  });

  each('the password can be looked at', async ({ v, env }) => {
    await v.open(env.SIGNIN_URL);
    const field = v.page.getByLabel('Password', { exact: true });
    await field.fill('secret');
    await v.press('Show password');
    assert.equal(await field.getAttribute('type'), 'text');
    await v.press('Hide password');
    assert.equal(await field.getAttribute('type'), 'password');
  }, { where: scripts });
});

for (const [locale, words] of Object.entries({
  'de-DE': ['Anmelden', 'Benutzername', 'Passwort', 'Noch ein Nachweis, dass Sie es sind', /Telefon/, 'Telefon hinzufügen', 'Telefonnummer', 'Code senden', 'Code eingeben'],
  'fr-FR': ['Se connecter', 'Nom d’utilisateur', 'Mot de passe', 'Ajoutez un moyen de vérification', /Téléphone/, 'Ajoutez votre téléphone', 'Numéro de téléphone', 'Envoyer le code', 'Saisissez votre code'],
  'es-ES': ['Iniciar sesión', 'Nombre de usuario', 'Contraseña', 'Añada otra forma de confirmar que es usted', /Teléfono/, 'Añada su teléfono', 'Número de teléfono', 'Enviar código', 'Escriba su código'],
})) {
  suite(`in ${locale}`, [], (each) => {
    each('first sign-in', async ({ v, server, env }) => {
      const [signIn, username, password, list, phone, add, label, send, enter] = words;
      await v.open(env.SIGNIN_URL);
      await v.sees(signIn);
      await v.type(username, env.USERNAME);
      await v.type(password, env.PASSWORD);
      await v.press(signIn);
      await v.sees(list);
      await v.press(phone);
      await v.sees(add);
      await v.type(label, '555');
      await v.press(send);
      await v.sees(add);
      await v.type(label, number);
      await v.press(send);
      await v.sees(enter);
      assert.equal(await v.page.locator('html').getAttribute('lang'), locale.slice(0, 2));
      await v.page.getByLabel(/^(Code|Código)$/).fill(await server.code(number));
      if (!v.host.scripts) await v.page.locator('button.primary').click();
      await v.sees('Hello, Mary.');
    }, { locale });
  });
}
