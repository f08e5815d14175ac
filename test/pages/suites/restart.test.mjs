// kill -9 between any two steps: the person notices nothing.

import { number, suite } from '../lib/suite.mjs';

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
