const Stripe = require('stripe');

exports.handler = async () => {
  const stripe = Stripe('sk_test_x', { maxNetworkRetries: 0, host: '127.0.0.1', port: 1, protocol: 'http' });
  const said = await stripe.charges.create({ amount: 1 }).catch((e) => [e.type, e instanceof Stripe.errors.StripeConnectionError]);
  const payload = '{"id":"evt"}', secret = 'whsec';
  const header = stripe.webhooks.generateTestHeaderString({ payload, secret });
  return [said, stripe.webhooks.constructEvent(payload, header, secret), Stripe.PACKAGE_VERSION, Object.keys(stripe).length];
};
