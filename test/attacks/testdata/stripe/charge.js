// The announcement's function with the real stripe package. This release of it starts `uname -a` for
// a telemetry header.
const stripe = require('stripe')(process.env.PAY_API_KEY, { host: 'api.allowed.test', maxNetworkRetries: 0 });
exports.handler = async () => {
  const charge = await stripe.charges.create({ amount: 100, currency: 'usd', source: 'tok_amex', description: 'payment' });
  return { statusCode: 200, body: JSON.stringify({ id: charge.id }) };
};
