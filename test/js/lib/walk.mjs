// Ways into the middle of a sign-in, for scenarios that begin there.

export const number = '+15551230001';
export const masked = '+1 XXX-XXX-0001';

// toEnroll goes to the list of what may be enrolled.
export async function toEnroll(client) {
  await client.begin();
  return client.identify(client.env.USERNAME, client.env.PASSWORD);
}

// toNumber goes to the page for the number.
export async function toNumber(client) {
  await toEnroll(client);
  return client.enroll('phone_number');
}

// toEnrollCode goes to the page for the code that was just sent to a new number.
export async function toEnrollCode(client, to = number) {
  await toNumber(client);
  return client.number(to);
}

// toMethod goes to the page that shows the number of somebody who has one.
export async function toMethod(client) {
  await client.begin();
  return client.identify(client.env.USERNAME_ENROLLED, client.env.PASSWORD_ENROLLED);
}

// toVerifyCode goes to the page for the code that was just sent to a known number.
export async function toVerifyCode(client) {
  await toMethod(client);
  return client.method('sms');
}

// signIn goes all the way with password and phone, and returns the last transaction.
export async function signIn(client, server) {
  await toVerifyCode(client);
  return client.verifyCode(await server.code(client.env.PHONE_ENROLLED));
}
