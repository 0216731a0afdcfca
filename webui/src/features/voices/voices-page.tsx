export default function VoicesPage() {
  return null;
}
