// A webhook as Stripe's guide writes it: the client is made at import, a signature is checked at each request.
const stripe = require('stripe')('sk_test_1');

exports.handler = async () => {
  const payload = '{"id":"evt_1","object":"event"}';
  const header = await stripe.webhooks.generateTestHeaderStringAsync({ payload, secret: 'whsec_1' });
  await stripe.webhooks.constructEventAsync(payload, header, 'whsec_1');
  return { statusCode: 200, body: 'hello' };
};
