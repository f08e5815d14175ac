// A network of telephones that will not, and a machine that dies.

import assert from 'node:assert/strict';
import { number, suite } from '../lib/suite.mjs';

suite('the network of telephones', [], (each) => {
  const fault = (server, fault) => server.control('PUT', 'gateway', { fault, to: '*' });
  const askCode = async ({ v, env }) => {
    await v.open(env.SIGNIN_URL);
    await v.signIn(env.USERNAME, env.PASSWORD);
    await v.press(/Phone/);
    await v.type('Phone number', number);
    await v.press('Send code');
  };

  each('refuses the number', async (at) => {
    const { v, server } = at;
    await fault(server, 'refuse');
    await askCode(at);
    await v.sees('Add your phone', 'We can’t send a code to that number.');
    assert.equal(await v.value('Phone number'), number);
    await server.control('DELETE', 'gateway');
    await v.press('Send code');
    await v.sees('Enter your code');
    await v.code(await server.code(number));
    await v.sees('Hello, Mary.');
  });

  each('is down', async (at) => {
    const { v, server } = at;
    await fault(server, 'fail');
    await askCode(at);
    await v.sees('Add your phone', 'We can’t send texts at the moment.');
    assert.equal(await v.value('Phone number'), number);
    await server.control('DELETE', 'gateway');
    await v.press('Send code');
    await v.sees('Enter your code');
    await v.code(await server.code(number));
    await v.sees('Hello, Mary.');
  });

  each('hangs', async (at) => {
    const { v, server } = at;
    await fault(server, 'hang');
    const began = Date.now();
    await askCode(at);
    await v.page.getByRole('heading', { name: 'Enter your code' }).waitFor();
    assert.ok(Date.now() - began < 9_000, 'the page does not hang with it');
    await server.control('DELETE', 'gateway');
    await v.resend();
    await v.sees('Enter your code');
    const texts = async () => (await server.outbox(number)).length;
    for (let n = 0; n < 200 && !(await texts()); n++) await new Promise((next) => setTimeout(next, 50));
    const [text] = await server.outbox(number);
    await v.code(text.body.match(/\d{6}/)[0]);
    await v.sees('Hello, Mary.');
  });
});

suite('the process is killed between any two steps', [], (each) => {
  each('first sign-in', async ({ v, server, env }) => {
    await v.open(env.SIGNIN_URL);
    await v.sees('Sign in');
    await server.crash();
    await v.signIn(env.USERNAME, env.PASSWORD);
    await v.sees('Add a way to verify it’s you');
    await server.crash();
    await v.press(/Phone/);
    await v.sees('Add your phone');
    await server.crash();
    await v.type('Phone number', number);
    await v.press('Send code');
    await v.sees('Enter your code');
    const code = await server.code(number);
    await server.crash();
    await v.page.reload();
    await v.sees('Enter your code');
    await server.crash();
    await v.code(code);
    await v.sees('Hello, Mary.');
  });
});
