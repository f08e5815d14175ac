// node --env-file=latchkey.env journey.mjs     (npm install @okta/okta-auth-js@7)
import { OktaAuth } from '@okta/okta-auth-js';

const { ISSUER, CLIENT_ID, REDIRECT_URI, USERNAME, PASSWORD, OUTBOX_URL } = process.env;
const auth = new OktaAuth({ issuer: ISSUER, clientId: CLIENT_ID, redirectUri: REDIRECT_URI, scopes: ['openid', 'profile', 'email'] });
const phoneNumber = '+15557654321';

let tx = await auth.idx.authenticate({ username: USERNAME, password: PASSWORD });
console.log(tx.status, tx.nextStep.name); //                PENDING select-authenticator-enroll

tx = await auth.idx.authenticate({ authenticator: 'phone_number' });
console.log(tx.status, tx.nextStep.name); //                PENDING authenticator-enrollment-data

await fetch(OUTBOX_URL, { method: 'DELETE' });
tx = await auth.idx.authenticate({ methodType: 'sms', phoneNumber });
console.log(tx.status, tx.nextStep.name); //                PENDING enroll-authenticator

const texts = await fetch(`${OUTBOX_URL}?wait=5s&to=${encodeURIComponent(phoneNumber)}`);
const verificationCode = (await texts.json()).at(-1).body.match(/#(\d{6})/)[1];
tx = await auth.idx.authenticate({ verificationCode });
console.log(tx.status); //                                  SUCCESS

const { accessToken, idToken } = tx.tokens;
console.log(await auth.token.getUserInfo(accessToken, idToken));
