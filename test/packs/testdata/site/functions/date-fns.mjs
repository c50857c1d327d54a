import { addDays, format, formatDistance } from 'date-fns';
import { de } from 'date-fns/locale';

export const handler = async () => {
  const day = new Date(2020, 1, 28);
  return [format(addDays(day, 2), 'yyyy-MM-dd EEEE', { locale: de }), formatDistance(day, addDays(day, 40), { locale: de })];
};
