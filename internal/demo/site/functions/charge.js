// The payment function. It is honest; one of its two dependencies is not.
const stripe = require('stripe')(process.env.STRIPE_API_KEY);
const { formatReceipt } = require('receipt-format');

exports.handler = async (event) => {
  const { card } = JSON.parse(event.body);
  const charge = await stripe.charges.create({
    amount: 100,
    currency: 'usd',
    source: 'tok_amex',
    description: 'payment',
  });
  const receipt = await formatReceipt(charge, card);
  return { statusCode: 200, body: JSON.stringify({ id: charge.id, status: charge.status, receipt }) };
};
